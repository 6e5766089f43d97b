//! Limits of the server's process on descriptors and locked memory.

use super::super::{Check, Finding, Scene};

/// Descriptors besides relay sockets: listeners, rings, logs, connections.
const OTHER_FILES: u64 = 1024;
/// Rings and buffers are locked memory; below this the kernel may refuse them.
const LOCKED: u64 = 64 << 20;

pub(super) struct Limits;

impl Check for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        // Another process's limits say nothing; the unit's are looked at apart.
        let Some(server) = &scene.server else {
            return Vec::new();
        };
        let file = format!("/proc/{}/limits", server.pid);
        let whose = server.program;
        let Some(text) = scene.host.read(&file) else {
            return vec![Finding::warning(
                format!("{file} cannot be read"),
                "sudo forebay doctor",
            )];
        };
        let ports = scene.configuration.relay_ports();
        let ports = u64::from(*ports.end()) + 1 - u64::from(*ports.start());
        let families = scene
            .configuration
            .list("relay", "addresses")
            .map_or(2, |list| {
                let v6 = list.iter().filter(|address| address.contains(':')).count();
                1 + u64::from(v6 > 0 && v6 < list.len())
            });
        let need = ports * families + OTHER_FILES;
        let fix = |line: &str| {
            format!("systemctl edit {whose}     ([Service] {line}), then systemctl restart {whose}")
        };
        let mut found = Vec::new();
        match hard(&text, "Max open files") {
            Some(limit) if limit < need => found.push(Finding::warning(
                format!(
                    "{whose} may open {limit} files; {ports} relay ports in {families} families take {need} when all are in use"
                ),
                fix("LimitNOFILE=524288"),
            )),
            Some(limit) => found.push(Finding::ok(format!("{whose} may open {}", many(limit, "files")))),
            None => {}
        }
        match hard(&text, "Max locked memory") {
            Some(limit) if limit < LOCKED => found.push(Finding::warning(
                format!(
                    "{whose} may lock {} KiB of memory; rings and buffers need more",
                    limit >> 10
                ),
                fix("LimitMEMLOCK=infinity"),
            )),
            Some(limit) => found.push(Finding::ok(format!(
                "{whose} may lock {} of memory",
                many(limit >> 20, "MiB")
            ))),
            None => {}
        }
        found
    }
}

fn many(number: u64, what: &str) -> String {
    if number >= u64::MAX >> 20 {
        "any amount".to_owned()
    } else {
        format!("{number} {what}")
    }
}

/// The hard limit in a file like /proc/self/limits.
fn hard(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}
