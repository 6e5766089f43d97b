//! The server's process, found by its name.

use super::host::Host;

/// A process of ours.
pub(super) struct Server {
    /// Its program.
    pub(super) program: &'static str,
    pub(super) pid: u32,
}

/// The kernel keeps 15 bytes of a name.
const PROGRAMS: [(&str, &str); 2] = [
    ("forebay-turnd", "forebay-turnd"),
    ("forebay-datapla", "forebay-dataplane"),
];

impl Server {
    pub(super) fn find(host: &Host) -> Option<Self> {
        let pids = host
            .names("/proc")
            .into_iter()
            .filter_map(|name| name.parse().ok());
        let mut all: Vec<Self> = pids
            .filter_map(|pid: u32| {
                let name = host.read(&format!("/proc/{pid}/comm"))?;
                let (_, program) = PROGRAMS.iter().find(|(short, _)| *short == name)?;
                Some(Self { program, pid })
            })
            .collect();
        all.sort_by_key(|server| server.pid);
        all.into_iter().next()
    }
}
