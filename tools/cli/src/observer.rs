//! The control socket, seen by one who only looks.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay_ipc::codec::Buffer;
use forebay_ipc::socket::Connection;
use forebay_ipc::{FromDataplane, Hello, Role, SILENCE_LIMIT, Text, ToDataplane, VERSION};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where the processes put their sockets when nothing else is configured.
const USUAL: [&str; 3] = [
    "/run/forebay/dataplane.sock",
    "/run/forebay/turnd.sock",
    "/run/forebay-turnd/turnd.sock",
];

/// A connection in the role of an observer.
pub(crate) struct Observer {
    connection: Connection,
    buffer: Buffer,
}

impl Observer {
    /// Connects to `path`, or to the first of the usual places that answers.
    pub(crate) fn connect(path: Option<&Path>, allocations: bool) -> Result<Self, String> {
        let places: Vec<PathBuf> = match path {
            Some(path) => vec![path.to_owned()],
            None => USUAL.iter().map(PathBuf::from).collect(),
        };
        let mut refusals = Vec::new();
        for place in &places {
            match Connection::open(place) {
                Ok(connection) => {
                    let mut observer = Self {
                        connection,
                        buffer: Buffer::new(),
                    };
                    observer.greet(allocations)?;
                    return Ok(observer);
                }
                Err(error) => refusals.push(error.to_string()),
            }
        }
        Err(format!(
            "no data plane answers; is one running, and may you read its socket?\n  {}",
            refusals.join("\n  ")
        ))
    }

    fn greet(&mut self, allocations: bool) -> Result<(), String> {
        let hello = Hello {
            version: VERSION,
            role: Role::Observer,
            software: Text::truncated(concat!("forebay ", env!("CARGO_PKG_VERSION"))),
            allocations,
        };
        match self
            .connection
            .send(&ToDataplane::Hello(hello), &mut self.buffer)
        {
            Ok(true) => Ok(()),
            Ok(false) => Err("the data plane takes no messages".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The next message; an error when the data plane is silent for too long.
    pub(crate) fn next(&mut self) -> Result<FromDataplane, String> {
        let deadline = Instant::now() + SILENCE_LIMIT;
        loop {
            match self.connection.receive(&mut self.buffer) {
                Ok(Some(FromDataplane::Rejected(rejected))) => {
                    return Err(format!("refused: {}", rejected.text));
                }
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!(
                    "the data plane has been silent for {} s",
                    SILENCE_LIMIT.as_secs()
                ));
            }
            let mut fds = [PollFd::new(self.connection.as_fd(), PollFlags::POLLIN)];
            let pause = left.min(Duration::from_secs(1));
            // An error is an interruption; the loop looks at the clock.
            let _ = poll(
                &mut fds,
                PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO),
            );
        }
    }
}
