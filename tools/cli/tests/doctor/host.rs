//! Kernel, limits, buffers, ports, unit, clock.

use super::{Tree, expect};

#[test]
fn a_good_host_is_good() {
    let tree = Tree::new();
    let output = tree.run(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("forebay-turnd runs as process 700"), "{text}");
    assert!(text.contains(" ok, 0 warnings, 0 failed"), "{text}");
}

#[test]
fn an_old_kernel_and_forbidden_rings_fail() {
    let tree = Tree::new();
    tree.write("proc/sys/kernel/osrelease", "5.15.0-91-generic\n")
        .write("proc/sys/kernel/io_uring_disabled", "2\n");
    let found = tree.found(&[]);
    expect(
        &found,
        "kernel",
        "failed",
        "5.15.0-91-generic is too old",
        "linux-image",
    );
    expect(
        &found,
        "io_uring",
        "failed",
        "nobody may",
        "kernel.io_uring_disabled=0",
    );
    assert_eq!(tree.run(&[]).status.code(), Some(2));

    tree.write("proc/sys/kernel/io_uring_disabled", "1\n");
    expect(
        &tree.found(&[]),
        "io_uring",
        "failed",
        "only root",
        "io_uring_disabled=0",
    );
    tree.write("proc/sys/kernel/io_uring_group", "991\n");
    expect(
        &tree.found(&[]),
        "io_uring",
        "warning",
        "group 991",
        "usermod -aG 991 forebay",
    );
    // Before 6.6 the switch did not exist.
    tree.remove("proc/sys/kernel/io_uring_disabled");
    expect(&tree.found(&[]), "io_uring", "ok", "allowed", "");
}

#[test]
fn limits_are_those_of_the_process_and_fit_the_relay_range() {
    let tree = Tree::new();
    tree.write(
        "proc/700/limits",
        "Max open files            1024                 4096                 files\nMax locked memory         65536                65536                bytes\n",
    );
    let found = tree.found(&[]);
    expect(
        &found,
        "limits",
        "warning",
        "may open 4096 files; 16384 relay ports",
        "LimitNOFILE=524288",
    );
    expect(
        &found,
        "limits",
        "warning",
        "64 KiB",
        "LimitMEMLOCK=infinity",
    );
    tree.write(
        "etc/forebay/turnd.toml",
        "[listen]\nudp = [\"198.51.100.5:3478\"]\n[relay]\naddresses = [\"198.51.100.5\"]\nports = \"50000-50099\"\n",
    );
    expect(&tree.found(&[]), "limits", "ok", "4096 files", "");
}

#[test]
fn small_buffers_and_losses_are_warnings_with_the_sysctl() {
    let tree = Tree::new();
    tree.write("proc/sys/net/core/rmem_max", "212992\n")
        .write(
            "proc/net/softnet_stat",
            "0000ffff 0000000a 00000000\n00000001 00000005 0\n",
        )
        .write(
            "proc/net/snmp",
            "Udp: InDatagrams NoPorts RcvbufErrors\nUdp: 1000 1 500\n",
        );
    let found = tree.found(&[]);
    expect(
        &found,
        "buffers",
        "warning",
        "212992",
        "sysctl -w net.core.rmem_max=1048576",
    );
    expect(
        &found,
        "buffers",
        "warning",
        "dropped 15 packets",
        "netdev_max_backlog=4096",
    );
    expect(
        &found,
        "buffers",
        "warning",
        "500 datagrams",
        "forebay status",
    );
    expect(&found, "buffers", "ok", "net.core.wmem_max is 8388608", "");
    assert_eq!(tree.run(&[]).status.code(), Some(1));
}

#[test]
fn ports_of_others_are_named() {
    let tree = Tree::new();
    expect(
        &tree.found(&[]),
        "ports",
        "ok",
        "198.51.100.5:3478 is the server's",
        "",
    );

    // coturn came back after the migration.
    let other = tree.path().join("proc/700/fd/4242");
    std::fs::remove_file(other).expect("removed");
    tree.write("proc/55/comm", "turnserver\n").owns(55, 4242);
    expect(
        &tree.found(&[]),
        "ports",
        "failed",
        "held by turnserver, process 55",
        "systemctl stop turnserver",
    );

    // Wildcards clash too, on IPv6 as well.
    tree.write(
        "etc/forebay/turnd.toml",
        "[listen]\nudp = [\"[2001:db8::5]:3478\"]\n",
    )
    .write(
        "proc/net/udp6",
        "header\n  1: 00000000000000000000000000000000:0D96 0:0 07 0:0 0:0 0 0 0 4242 2\n",
    );
    expect(
        &tree.found(&[]),
        "ports",
        "failed",
        "udp [2001:db8::5]:3478",
        "",
    );

    tree.remove("proc/net/udp6");
    expect(
        &tree.found(&[]),
        "ports",
        "failed",
        "nobody listens there",
        "restart",
    );
    tree.remove("proc/700");
    expect(
        &tree.found(&[]),
        "ports",
        "ok",
        "[2001:db8::5]:3478 is free",
        "",
    );
}

#[test]
fn tcp_counts_only_where_somebody_listens() {
    let tree = Tree::new();
    tree.write(
        "etc/forebay/turnd.toml",
        "[listen]\nudp = [\"198.51.100.5:3478\"]\ntls = [\"198.51.100.5:443\"]\n",
    )
    .write("proc/80/comm", "nginx\n")
    .owns(80, 8080)
    .write(
        "proc/net/tcp",
        "header\n  1: 056433C6:01BB 0:0 01 0:0 0:0 0 0 0 8080 1\n",
    );
    expect(
        &tree.found(&[]),
        "ports",
        "failed",
        "nobody listens there",
        "",
    );
    tree.write(
        "proc/net/tcp",
        "header\n  1: 00000000:01BB 0:0 0A 0:0 0:0 0 0 0 8080 1\n",
    );
    expect(
        &tree.found(&[]),
        "ports",
        "failed",
        "held by nginx",
        "listen.tls",
    );
}

#[test]
fn the_kernels_own_ports_must_not_be_relay_ports() {
    let tree = Tree::new();
    tree.write("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    expect(
        &tree.found(&[]),
        "ports",
        "warning",
        "32768-60999",
        "net.ipv4.ip_local_reserved_ports=49152-65535",
    );
    tree.write(
        "proc/sys/net/ipv4/ip_local_reserved_ports",
        "3478,49000-65535\n",
    );
    expect(&tree.found(&[]), "ports", "ok", "keeps the relay ports", "");
}

#[test]
fn a_unit_without_limits_is_a_warning() {
    let tree = Tree::new();
    let unit =
        "commands/systemctl show forebay-turnd -p LoadState,LimitNOFILE,LimitMEMLOCK,LimitRTPRIO";
    tree.write(
        unit,
        "LoadState=loaded\nLimitNOFILE=1024\nLimitMEMLOCK=8388608\nLimitRTPRIO=0\n",
    );
    let found = tree.found(&[]);
    for limit in [
        "LimitNOFILE=524288",
        "LimitMEMLOCK=infinity",
        "LimitRTPRIO=1",
    ] {
        expect(&found, "unit", "warning", "forebay-turnd.service", limit);
    }
    tree.write(unit, "LoadState=not-found\nLimitNOFILE=1024\n");
    assert!(
        tree.found(&[])
            .iter()
            .all(|finding| finding.check != "unit")
    );
}

#[test]
fn a_clock_that_nobody_sets_is_a_warning() {
    let tree = Tree::new();
    expect(&tree.found(&[]), "clock", "ok", "synchronised", "");
    let timedatectl = "commands/timedatectl show -p NTPSynchronized --value";
    tree.write(timedatectl, "no\n");
    expect(
        &tree.found(&[]),
        "clock",
        "warning",
        "not synchronised",
        "chrony",
    );
    tree.remove(timedatectl).write(
        "commands/chronyc -c tracking",
        "A29FC87B,162.159.200.123,4,1700000000.1,-42.5,0.0001,0.0002,1.5,0.01,0.02,0.001,0.002,64.5,Normal\n",
    );
    expect(&tree.found(&[]), "clock", "failed", "42.500 s", "");
    tree.remove("commands/chronyc -c tracking");
    expect(
        &tree.found(&[]),
        "clock",
        "warning",
        "neither timedatectl nor chronyc",
        "",
    );
}
