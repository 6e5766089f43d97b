//! The network card: rings, offloads, queues and who serves their interrupts.

use std::collections::BTreeSet;

use super::super::configuration::cpu_count;
use super::super::{Check, Finding, Scene};

pub(super) struct Nic;

impl Check for Nic {
    fn name(&self) -> &'static str {
        "network card"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let mut found = Vec::new();
        for name in interfaces(scene) {
            let before = found.len();
            rings(scene, &name, &mut found);
            offloads(scene, &name, &mut found);
            queues(scene, &name, &mut found);
            losses(scene, &name, &mut found);
            if found.len() == before {
                let queues = rx_queues(scene, &name);
                found.push(Finding::ok(format!(
                    "{name}: full rings, offloads on, {queues} receive queues"
                )));
            }
        }
        found
    }
}

/// The interfaces of the default routes.
fn interfaces(scene: &Scene) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let v4 = scene.host.read("/proc/net/route").unwrap_or_default();
    for line in v4.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [name, "00000000", ..] = fields.as_slice()
            && fields.get(7) == Some(&"00000000")
        {
            names.insert((*name).to_owned());
        }
    }
    let v6 = scene.host.read("/proc/net/ipv6_route").unwrap_or_default();
    for line in v6.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_default = fields
            .first()
            .is_some_and(|to| to.bytes().all(|b| b == b'0'))
            && fields.get(1) == Some(&"00");
        if let (true, Some(name)) = (is_default, fields.last())
            && *name != "lo"
        {
            names.insert((*name).to_owned());
        }
    }
    names
}

fn rings(scene: &Scene, name: &str, found: &mut Vec<Finding>) {
    let Some(text) = scene.host.command("ethtool", &["-g", name]) else {
        if scene.host.command("ethtool", &["-k", name]).is_none() {
            found.push(Finding::warning(
                format!("{name}: ethtool cannot be run, so rings and offloads are not known"),
                "apt install ethtool",
            ));
        }
        return;
    };
    let (most, now) = text
        .split_once("Current hardware settings")
        .unwrap_or((&text, ""));
    let size = |text: &str, key: &str| -> Option<u32> {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(key))?;
        line.trim().parse().ok()
    };
    for key in ["RX", "TX"] {
        let label = format!("{key}:");
        if let (Some(most), Some(now)) = (size(most, &label), size(now, &label))
            && now < most.min(1024)
        {
            found.push(Finding::warning(
                format!(
                    "{name}: the {key} ring has {now} of {most} places; bursts are lost in the card"
                ),
                format!("ethtool -G {name} {} {most}", key.to_ascii_lowercase()),
            ));
        }
    }
}

fn offloads(scene: &Scene, name: &str, found: &mut Vec<Finding>) {
    let Some(text) = scene.host.command("ethtool", &["-k", name]) else {
        return;
    };
    for (feature, short, why) in [
        (
            "generic-receive-offload",
            "gro",
            "every datagram goes through the whole stack by itself",
        ),
        (
            "generic-segmentation-offload",
            "gso",
            "merged sends are taken apart before the stack instead of after it",
        ),
        (
            "tx-udp-segmentation",
            "tx-udp-segmentation",
            "the CPU takes merged sends apart instead of the card",
        ),
    ] {
        let state = text.lines().find_map(|line| {
            let (key, state) = line.trim().split_once(": ")?;
            (key == feature).then_some(state)
        });
        // What is fixed cannot be changed, so nobody needs to know.
        if state == Some("off") {
            found.push(Finding::warning(
                format!("{name}: {feature} is off, {why}"),
                format!("ethtool -K {name} {short} on"),
            ));
        }
    }
}

fn rx_queues(scene: &Scene, name: &str) -> usize {
    scene
        .host
        .names(&format!("/sys/class/net/{name}/queues"))
        .iter()
        .filter(|queue| queue.starts_with("rx-"))
        .count()
}

fn queues(scene: &Scene, name: &str, found: &mut Vec<Finding>) {
    let workers = scene.configuration.workers(&scene.host);
    let queues = rx_queues(scene, name);
    if queues == 0 {
        return;
    }
    let most = scene
        .host
        .command("ethtool", &["-l", name])
        .and_then(|text| {
            let (most, _) = text.split_once("Current hardware settings")?;
            let line = most
                .lines()
                .find_map(|line| line.trim().strip_prefix("Combined:"))?;
            line.trim().parse::<usize>().ok()
        });
    if queues < workers && most.is_some_and(|most| most > queues) {
        let wanted = workers.min(most.unwrap_or(workers));
        found.push(Finding::warning(
            format!(
                "{name}: {queues} receive queues for {workers} workers; the card could have more"
            ),
            format!("ethtool -L {name} combined {wanted}"),
        ));
        return;
    }
    let steers = || {
        scene
            .host
            .read(&format!("/sys/class/net/{name}/queues/rx-0/rps_cpus"))
            .is_some_and(|mask| mask.bytes().any(|b| b != b'0' && b != b','))
    };
    if queues == 1 && workers > 1 {
        if !steers() {
            found.push(Finding::warning(
                format!("{name}: one receive queue feeds {workers} workers, so one core receives for all"),
                format!("echo ffffffff > /sys/class/net/{name}/queues/rx-0/rps_cpus"),
            ));
        }
        return;
    }
    let served = interrupts(scene, name);
    if queues > 1 && served.len() == 1 {
        let core = served.first().map(String::as_str).unwrap_or_default();
        found.push(Finding::warning(
            format!("{name}: core {core} serves the interrupts of all {queues} queues"),
            "apt install irqbalance     (or write a core each into /proc/irq/N/smp_affinity_list)",
        ));
    }
}

/// The cores that serve the interface's interrupts, each as a list of one;
/// empty where the kernel is free to choose among several.
fn interrupts(scene: &Scene, name: &str) -> BTreeSet<String> {
    let text = scene.host.read("/proc/interrupts").unwrap_or_default();
    let mut cores = BTreeSet::new();
    let device = scene
        .host
        .link(&format!("/sys/class/net/{name}/device"))
        .and_then(|link| link.rsplit('/').next().map(str::to_owned));
    for line in text.lines() {
        let Some((number, rest)) = line.split_once(':') else {
            continue;
        };
        let Ok(number) = number.trim().parse::<u32>() else {
            continue;
        };
        let of_ours = rest.split_whitespace().any(|word| {
            word.starts_with(name)
                || device.as_deref().is_some_and(|device| {
                    word.starts_with(device) && (word.contains("input") || word.contains("rx"))
                })
        });
        if !of_ours {
            continue;
        }
        let file = format!("/proc/irq/{number}/effective_affinity_list");
        let list = scene.host.read(&file).or_else(|| {
            scene
                .host
                .read(&format!("/proc/irq/{number}/smp_affinity_list"))
        });
        match list {
            Some(list) if cpu_count(&list) == 1 => {
                cores.insert(list);
            }
            Some(_) => return BTreeSet::new(),
            None => {}
        }
    }
    cores
}

fn losses(scene: &Scene, name: &str, found: &mut Vec<Finding>) {
    let count = |file: &str| {
        scene
            .host
            .number(&format!("/sys/class/net/{name}/statistics/{file}"))
            .unwrap_or(0)
    };
    let (missed, received) = (count("rx_missed_errors"), count("rx_packets"));
    if missed > received / 10_000 {
        found.push(Finding::warning(
            format!("{name}: the card lost {missed} of {received} packets because nobody fetched them in time"),
            format!("ethtool -G {name} rx 4096     (and spread interrupts over more cores)"),
        ));
    }
}
