//! Packet filter and network card.

use super::{Tree, expect};

fn nft(rules: &str) -> String {
    format!(
        r#"{{"nftables": [
            {{"metainfo": {{"json_schema_version": 1}}}},
            {{"chain": {{"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}}},
            {{"rule": {{"family": "inet", "table": "filter", "chain": "input", "expr": [{{"match": {{"op": "==", "left": {{"meta": {{"key": "iifname"}}}}, "right": "lo"}}}}, {{"accept": null}}]}}}}
            {rules}
        ]}}"#
    )
}

fn rule(ports: &str) -> String {
    format!(
        r#", {{"rule": {{"family": "inet", "table": "filter", "chain": "input", "expr": [{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "udp", "field": "dport"}}}}, "right": {ports}}}}}, {{"accept": null}}]}}}}"#
    )
}

#[test]
fn nftables_that_drop_the_ports_are_a_hint() {
    let tree = Tree::new();
    tree.write("commands/nft -j list ruleset", &nft(""));
    let found = tree.found(&[]);
    expect(
        &found,
        "firewall",
        "warning",
        "udp 3478, udp 49152-65535",
        "nft insert rule inet filter input udp dport 49152-65535 accept",
    );
    tree.write("commands/nft -j list ruleset", &nft(&rule("3478")));
    let found = tree.found(&[]);
    expect(&found, "firewall", "warning", "accepts udp 49152-65535", "");
    let set = r#"{"set": [3478, {"range": [49152, 65535]}]}"#;
    tree.write("commands/nft -j list ruleset", &nft(&rule(set)));
    expect(&tree.found(&[]), "firewall", "ok", "has rules for", "");
}

#[test]
fn iptables_that_drop_the_ports_are_a_hint() {
    let tree = Tree::new();
    tree.remove("commands/nft -j list ruleset").write(
        "commands/iptables-save ",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -p udp -m udp --dport 3478 -j ACCEPT\nCOMMIT\n",
    );
    expect(
        &tree.found(&[]),
        "firewall",
        "warning",
        "accepts udp 49152-65535",
        "iptables -I INPUT -p udp --dport 49152:65535 -j ACCEPT",
    );
    tree.write(
        "commands/iptables-save ",
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp -m multiport --dports 3478,49152:65535 -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n",
    );
    expect(&tree.found(&[]), "firewall", "ok", "has rules for", "");
    tree.remove("commands/iptables-save ");
    expect(
        &tree.found(&[]),
        "firewall",
        "warning",
        "is not known",
        "sudo",
    );
}

#[test]
fn ports_of_media_are_looked_for_too() {
    let tree = Tree::new();
    tree.write(
        "etc/forebay/dataplane.toml",
        "[listen]\nudp = [\"198.51.100.5:3478\"]\n[cores]\npin = [0, 1]\n[media]\nenabled = true\nport = 9000\n",
    )
    .remove("etc/forebay/turnd.toml")
    .write("commands/nft -j list ruleset", &nft(""));
    expect(
        &tree.found(&[]),
        "firewall",
        "warning",
        "udp 9000-9001, tcp 7881",
        "nft insert rule inet filter input tcp dport 7881 accept",
    );
}

#[test]
fn a_full_table_of_flows_is_a_warning() {
    let tree = Tree::new();
    tree.write("proc/sys/net/netfilter/nf_conntrack_count", "250000\n")
        .write("proc/sys/net/netfilter/nf_conntrack_max", "262144\n");
    expect(
        &tree.found(&[]),
        "firewall",
        "warning",
        "250000 of 262144",
        "nf_conntrack_max=1048576",
    );
}

#[test]
fn rings_offloads_and_queues_have_their_ethtool_command() {
    let tree = Tree::new();
    expect(
        &tree.found(&[]),
        "network card",
        "ok",
        "eth0: full rings",
        "",
    );
    tree.write(
        "commands/ethtool -g eth0",
        "Pre-set maximums:\nRX:\t\t4096\nTX:\t\t4096\nCurrent hardware settings:\nRX:\t\t512\nTX:\t\t4096\n",
    )
    .write(
        "commands/ethtool -k eth0",
        "generic-segmentation-offload: on\ngeneric-receive-offload: off\ntx-udp-segmentation: off [fixed]\n",
    );
    let found = tree.found(&[]);
    expect(
        &found,
        "network card",
        "warning",
        "RX ring has 512 of 4096",
        "ethtool -G eth0 rx 4096",
    );
    expect(
        &found,
        "network card",
        "warning",
        "generic-receive-offload",
        "ethtool -K eth0 gro on",
    );
    assert!(found.iter().all(|finding| !finding.seen.contains("tx-udp")));
}

#[test]
fn cores_must_share_the_cards_work() {
    let tree = Tree::new();
    tree.write("proc/irq/25/effective_affinity_list", "0\n");
    expect(
        &tree.found(&[]),
        "network card",
        "warning",
        "core 0 serves",
        "irqbalance",
    );

    tree.remove("sys/class/net/eth0/queues/rx-1");
    expect(
        &tree.found(&[]),
        "network card",
        "warning",
        "one receive queue feeds 2",
        "rps_cpus",
    );
    tree.write("sys/class/net/eth0/queues/rx-0/rps_cpus", "3\n");
    expect(
        &tree.found(&[]),
        "network card",
        "ok",
        "1 receive queues",
        "",
    );
    tree.write(
        "commands/ethtool -l eth0",
        "Pre-set maximums:\nCombined:\t8\nCurrent hardware settings:\nCombined:\t1\n",
    );
    expect(
        &tree.found(&[]),
        "network card",
        "warning",
        "1 receive queues for 2",
        "ethtool -L eth0 combined 2",
    );
    tree.write("sys/class/net/eth0/statistics/rx_missed_errors", "90000\n");
    expect(
        &tree.found(&[]),
        "network card",
        "warning",
        "the card lost 90000",
        "",
    );
}
