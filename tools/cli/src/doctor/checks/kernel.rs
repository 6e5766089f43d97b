//! The kernel's version.

use super::super::{Check, Finding, Scene};

/// The oldest kernel with everything the rings need.
const OLDEST: (u32, u32) = (6, 1);

pub(super) struct Kernel;

impl Check for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let Some(release) = scene.host.read("/proc/sys/kernel/osrelease") else {
            return vec![Finding::warning(
                "the kernel's version cannot be read",
                "mount -t proc proc /proc",
            )];
        };
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let version = match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => OLDEST,
        };
        vec![if version < OLDEST {
            Finding::failed(
                format!("Linux {release} is too old; 6.1 or later is needed"),
                "apt install linux-image-amd64 && reboot     (Debian 12, Ubuntu 24.04 and RHEL 10 have it)",
            )
        } else {
            Finding::ok(format!("Linux {release}"))
        }]
    }
}
