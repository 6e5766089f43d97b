//! coturn's load client, held to its word: every packet it sends comes back,
//! and every byte.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use super::{PEER, Peer, USER, installed, shared_directory};

/// The longest one client may take on a busy machine, seconds.
const PATIENCE: &str = "60";
/// What it sends in a packet unless told otherwise.
const LENGTH: usize = 100;
/// Clients that run beside each other; they mostly wait.
const AT_ONCE: usize = 8;

/// One run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    /// The server's address.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// Flags, separated by spaces.
    pub(crate) flags: &'a str,
    /// How many packets it sends in all.
    pub(crate) packets: usize,
}

impl Run<'_> {
    fn arguments<'a>(&'a self, echo: &'a [String; 2]) -> Vec<&'a str> {
        let mut all = vec!["-z", "5"];
        all.extend(self.flags.split_whitespace());
        if !self.has("-u") {
            all.extend(["-u", USER.0, "-w", USER.1]);
        }
        if !self.has("-y") {
            all.push("-e");
            all.extend(if self.has("-x") {
                ["::1", "-r", &echo[1]]
            } else {
                [PEER, "-r", &echo[0]]
            });
        }
        all
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.split_whitespace().any(|one| one == flag)
    }

    fn length(&self) -> usize {
        let mut flags = self.flags.split_whitespace();
        flags
            .find(|flag| *flag == "-l")
            .and_then(|_| flags.next()?.parse().ok())
            .unwrap_or(LENGTH)
    }

    /// Whether everything came back; otherwise what it said.
    fn check(&self, echo: &[String; 2]) -> Result<(), String> {
        let text = said(|| {
            let mut command = Command::new("timeout");
            command
                .args([PATIENCE, "turnutils_uclient"])
                .args(self.arguments(echo))
                .args(["-p", &self.port.to_string(), self.host]);
            if self.has("-S") && !self.has("-t") {
                command.env("LD_PRELOAD", dtls_1_2());
            }
            command
        });
        let (packets, bytes) = (self.packets, self.packets * self.length());
        let expected = [
            format!("tot_send_msgs={packets}, tot_recv_msgs={packets}\n"),
            format!("tot_send_bytes ~ {bytes}, tot_recv_bytes ~ {bytes}\n"),
            "Total lost packets 0 ".to_owned(),
        ];
        if expected.iter().all(|line| text.contains(line)) {
            return Ok(());
        }
        let mut last: Vec<&str> = text.lines().rev().take(8).collect();
        last.reverse();
        Err(format!("{self:?}:\n{}\n", last.join("\n")))
    }
}

/// What the client says. Now and then it sends a second Allocate, with another
/// transaction id, for a session that has its allocation; it draws 437 and does
/// not always find its way back. Against coturn's own server it does the same.
/// It is run again then.
pub(crate) fn said(command: impl Fn() -> Command) -> String {
    let mut text = String::new();
    for _ in 0..3 {
        let output = installed(command().output());
        text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.contains("error 437") || text.contains("Total lost packets 0 ") {
            break;
        }
    }
    text
}

/// Runs them beside each other, against echo peers of both families; what
/// those said that failed.
pub(crate) fn all_come_back(runs: &[Run<'_>]) -> String {
    let peers = [Peer::start(PEER), Peer::start("::1")];
    let echo = peers.each_ref().map(|peer| peer.port.to_string());
    let mut failed = String::new();
    for some in runs.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let echo = &echo;
            let clients: Vec<_> = some
                .iter()
                .map(|run| scope.spawn(move || run.check(echo)))
                .collect();
            for client in clients {
                if let Err(told) = client.join().expect("a client ran") {
                    failed.push_str(&told);
                }
            }
        });
    }
    failed
}

/// Over DTLS the client throws a coin for each session which version it
/// speaks, one of them a version that nobody should (RFC 8996). With this
/// loaded, both sides of the coin are DTLS 1.2.
fn dtls_1_2() -> PathBuf {
    let library = shared_directory().join("dtls_1_2.so");
    if !library.exists() {
        let folder = tempfile::tempdir_in(shared_directory()).expect("temporary directory");
        let (source, made) = (folder.path().join("it.c"), folder.path().join("it.so"));
        fs::write(
            &source,
            "const void *DTLSv1_2_client_method(void);\n\
             const void *DTLSv1_client_method(void) { return DTLSv1_2_client_method(); }\n",
        )
        .expect("written");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&made, &source])
            .status()
            .expect("cc: apt install gcc");
        assert!(compiled.success());
        // Another test may have been faster; its library is the same.
        fs::rename(&made, &library).expect("moved");
    }
    library
}
