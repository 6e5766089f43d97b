//! `forebay doctor` on copies of hosts, and on this one.

mod certificate;
mod host;
mod live;
mod network;
mod output;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with the files of a host that is as it should be.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("temporary directory"));
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.12.9-amd64\n"),
            ("proc/sys/kernel/io_uring_disabled", "0\n"),
            ("proc/sys/kernel/io_uring_group", "-1\n"),
            ("proc/sys/net/core/rmem_max", "8388608\n"),
            ("proc/sys/net/core/wmem_max", "8388608\n"),
            ("proc/sys/net/core/netdev_max_backlog", "1000\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "10240\t49151\n"),
            ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
            ("proc/net/softnet_stat", "0000ffff 00000000 00000000\n"),
            (
                "proc/net/snmp",
                "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 500000 1 0 500000 0\n",
            ),
            ("proc/net/udp", SOCKETS),
            ("proc/net/route", ROUTE),
            (
                "proc/interrupts",
                "  24:  10  0  PCI-MSI  eth0-rx-0\n  25:  0  10  PCI-MSI  eth0-rx-1\n",
            ),
            ("proc/irq/24/effective_affinity_list", "0\n"),
            ("proc/irq/25/effective_affinity_list", "1\n"),
            ("proc/700/comm", "forebay-turnd\n"),
            ("proc/700/limits", LIMITS),
            ("sys/devices/system/cpu/online", "0-1\n"),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n"),
            ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0\n"),
            ("sys/class/net/eth0/statistics/rx_missed_errors", "0\n"),
            ("sys/class/net/eth0/statistics/rx_packets", "1000000\n"),
            ("commands/ethtool -g eth0", RINGS),
            ("commands/ethtool -k eth0", OFFLOADS),
            (
                "commands/systemctl show forebay-turnd -p LoadState,LimitNOFILE,LimitMEMLOCK,LimitRTPRIO",
                "LoadState=loaded\nLimitNOFILE=524288\nLimitMEMLOCK=infinity\nLimitRTPRIO=1\n",
            ),
            (
                "commands/timedatectl show -p NTPSynchronized --value",
                "yes\n",
            ),
            ("commands/nft -j list ruleset", "{\"nftables\": []}\n"),
            (
                "etc/forebay/turnd.toml",
                "realm = \"x\"\n[listen]\nudp = [\"198.51.100.5:3478\"]\n[relay]\naddresses = [\"198.51.100.5\"]\n",
            ),
        ] {
            tree.write(path, text);
        }
        tree.owns(700, 4242);
        tree
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
        self
    }

    fn remove(&self, path: &str) -> &Self {
        let path = self.0.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        } else {
            fs::remove_file(path).expect("removed");
        }
        self
    }

    /// Gives a process a socket.
    fn owns(&self, pid: u32, inode: u64) -> &Self {
        let folder = self.0.path().join(format!("proc/{pid}/fd"));
        fs::create_dir_all(&folder).expect("made");
        symlink(format!("socket:[{inode}]"), folder.join(inode.to_string())).expect("linked");
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_forebay"))
            .arg("doctor")
            .arg("--root")
            .arg(self.path())
            .args(arguments)
            .output()
            .expect("runs")
    }

    /// What was found, as JSON.
    fn found(&self, arguments: &[&str]) -> Vec<Found> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        findings(&self.run(&all))
    }
}

/// A finding.
#[derive(Debug)]
struct Found {
    check: String,
    level: String,
    seen: String,
    fix: String,
}

fn findings(output: &Output) -> Vec<Found> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.stdout.is_empty(), "nothing was printed: {said}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    value["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| Found {
            check: text(finding, "check"),
            level: text(finding, "level"),
            seen: text(finding, "seen"),
            fix: text(finding, "fix"),
        })
        .collect()
}

/// The one finding that says this, at this level, with a fix that says that.
fn expect(found: &[Found], check: &str, level: &str, seen: &str, fix: &str) {
    let is_there = found.iter().any(|finding| {
        finding.check == check
            && finding.level == level
            && finding.seen.contains(seen)
            && finding.fix.contains(fix)
    });
    assert!(
        is_there,
        "{check} {level} {seen:?} {fix:?} is not in {found:#?}"
    );
}

const SOCKETS: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 056433C6:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000   998        0 4242 2 0000000000000000 0
";

const ROUTE: &str =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t016433C6\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
";

const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units
Max open files            524288               524288               files
Max locked memory         unlimited            unlimited            bytes
";

const RINGS: &str = "Ring parameters for eth0:
Pre-set maximums:
RX:		4096
TX:		4096
Current hardware settings:
RX:		4096
TX:		4096
";

const OFFLOADS: &str = "Features for eth0:
generic-segmentation-offload: on
generic-receive-offload: on
tx-udp-segmentation: on
";
