//! What systemd gives the service.

use super::super::{Check, Finding, Scene};

/// As in the units that are shipped.
const FILES: u64 = 524_288;

pub(super) struct Unit;

impl Check for Unit {
    fn name(&self) -> &'static str {
        "unit"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let services = match &scene.server {
            Some(server) => vec![server.program],
            None => vec!["forebay-turnd", "forebay-dataplane"],
        };
        let properties = "LoadState,LimitNOFILE,LimitMEMLOCK,LimitRTPRIO";
        for service in services {
            let Some(text) = scene
                .host
                .command("systemctl", &["show", service, "-p", properties])
            else {
                return Vec::new();
            };
            let value = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            };
            if value("LoadState") != Some("loaded") {
                continue;
            }
            return judge(service, &value);
        }
        Vec::new()
    }
}

fn judge<'a>(service: &str, value: &impl Fn(&str) -> Option<&'a str>) -> Vec<Finding> {
    let number = |name: &str| match value(name) {
        Some("infinity") => Some(u64::MAX),
        Some(text) => text.parse::<u64>().ok(),
        None => None,
    };
    let fix = |line: &str| {
        format!("systemctl edit {service}     ([Service] {line}), then systemctl restart {service}")
    };
    let mut found = Vec::new();
    if let Some(limit) = number("LimitNOFILE").filter(|limit| *limit < FILES) {
        found.push(Finding::warning(
            format!(
                "{service}.service has LimitNOFILE={limit}; every allocation takes a descriptor"
            ),
            fix("LimitNOFILE=524288"),
        ));
    }
    if let Some(limit) = number("LimitMEMLOCK").filter(|limit| *limit != u64::MAX) {
        found.push(Finding::warning(
            format!(
                "{service}.service has LimitMEMLOCK={limit}; rings and buffers are locked memory"
            ),
            fix("LimitMEMLOCK=infinity"),
        ));
    }
    if number("LimitRTPRIO") == Some(0) {
        found.push(Finding::warning(
            format!("{service}.service has LimitRTPRIO=0: under overload the kernel's own work comes before the relay's"),
            fix("LimitRTPRIO=1"),
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok(format!(
            "{service}.service has the limits it needs"
        )));
    }
    found
}
