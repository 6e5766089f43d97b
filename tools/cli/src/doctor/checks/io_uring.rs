//! Whether the kernel lets the server make rings.

use super::super::{Check, Finding, Scene};

pub(super) struct IoUring;

const ON: &str = "sysctl -w kernel.io_uring_disabled=0 && echo kernel.io_uring_disabled=0 > /etc/sysctl.d/90-forebay-io_uring.conf";

impl Check for IoUring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        // Before 6.6 there is no such switch.
        let state = scene.host.number("/proc/sys/kernel/io_uring_disabled");
        let group = scene.host.read("/proc/sys/kernel/io_uring_group");
        vec![match state {
            None | Some(0) => Finding::ok("allowed to everyone"),
            Some(1) => match group.as_deref() {
                None | Some("-1") => Finding::failed(
                    "kernel.io_uring_disabled is 1 and no group is excepted: only root may make rings, the server's user may not",
                    ON,
                ),
                Some(group) => Finding::warning(
                    format!(
                        "kernel.io_uring_disabled is 1: only members of group {group} may make rings"
                    ),
                    format!("usermod -aG {group} forebay     (or: {ON})"),
                ),
            },
            Some(state) => Finding::failed(
                format!("kernel.io_uring_disabled is {state}: nobody may make rings"),
                ON,
            ),
        }]
    }
}
