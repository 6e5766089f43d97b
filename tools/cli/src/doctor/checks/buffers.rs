//! Socket buffers, and whether packets were lost for want of room.

use super::super::{Check, Finding, Scene};

const FILE: &str = "/etc/sysctl.d/90-forebay.conf";

pub(super) struct Buffers;

impl Check for Buffers {
    fn name(&self) -> &'static str {
        "buffers"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let mut found = vec![
            limit(scene, "rmem_max", "receive_buffer", "relay_receive_buffer"),
            limit(scene, "wmem_max", "send_buffer", "relay_send_buffer"),
        ];
        found.extend(backlog(scene));
        found.extend(udp_losses(scene));
        found
    }
}

fn sysctl(key: &str, value: u64) -> String {
    format!("sysctl -w {key}={value} && echo {key}={value} >> {FILE}")
}

fn limit(scene: &Scene, name: &str, listening: &str, relay: &str) -> Finding {
    let key = format!("net.core.{name}");
    let Some(limit) = scene.host.number(&format!("/proc/sys/net/core/{name}")) else {
        return Finding::warning(format!("{key} cannot be read"), format!("sysctl {key}"));
    };
    let of = |section: &str, key: &str, default: u64| {
        scene.configuration.number(section, key).unwrap_or(default)
    };
    let mut need = of("sockets", listening, 1 << 20).max(of("sockets", relay, 256 << 10));
    if scene.configuration.is_on("media", "enabled") {
        need = need.max(of("media", listening, 4 << 20));
    }
    if limit < need {
        Finding::warning(
            format!(
                "{key} is {limit}, the configuration asks for {need} bytes; bursts are lost while a worker is busy"
            ),
            sysctl(&key, need),
        )
    } else {
        Finding::ok(format!("{key} is {limit}"))
    }
}

/// Packets that the kernel gave up because a core did not keep up.
fn backlog(scene: &Scene) -> Option<Finding> {
    let text = scene.host.read("/proc/net/softnet_stat")?;
    let dropped: u64 = text
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        .sum();
    let room = scene.host.number("/proc/sys/net/core/netdev_max_backlog")?;
    if dropped == 0 {
        return Some(Finding::ok(
            "no packet was dropped before it reached a socket",
        ));
    }
    Some(Finding::warning(
        format!(
            "the kernel dropped {dropped} packets since start because a core's backlog of {room} was full"
        ),
        sysctl("net.core.netdev_max_backlog", (room * 2).max(4096)),
    ))
}

/// Losses at sockets, over all programs of the host.
fn udp_losses(scene: &Scene) -> Option<Finding> {
    let text = scene.host.read("/proc/net/snmp")?;
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |name: &str| -> Option<u64> {
        let at = names.split_whitespace().position(|known| known == name)?;
        values.split_whitespace().nth(at)?.parse().ok()
    };
    let (lost, received) = (value("RcvbufErrors")?, value("InDatagrams")?);
    if lost == 0 {
        return Some(Finding::ok(
            "no datagram was lost for want of a socket's buffer",
        ));
    }
    // One in ten thousand is heard by nobody.
    if lost < received / 10_000 {
        return Some(Finding::ok(format!(
            "{lost} of {received} datagrams were lost for want of a socket's buffer since start"
        )));
    }
    Some(Finding::warning(
        format!(
            "{lost} datagrams were lost for want of a socket's buffer since start ({received} arrived), by whichever program"
        ),
        "forebay status     (kernel drops there are the relay's: more cores, or larger sockets.receive_buffer)",
    ))
}
