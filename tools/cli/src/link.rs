//! The control socket.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay_ipc::codec::Buffer;
use forebay_ipc::socket::Connection;
use forebay_ipc::{
    Ack, Command, FromDataplane, Hello, Role, SILENCE_LIMIT, Session, Text, ToDataplane, VERSION,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where the processes put their sockets when nothing else is configured.
const USUAL: [&str; 3] = [
    "/run/forebay/dataplane.sock",
    "/run/forebay/turnd.sock",
    "/run/forebay-turnd/turnd.sock",
];

/// A connection to a process on this host.
pub(crate) struct Link {
    connection: Connection,
    buffer: Buffer,
    last_id: u32,
}

impl Link {
    /// Connects to `path`, or to the first of the usual places that answers.
    /// `allocations`: whether to hear of every single one.
    pub(crate) fn connect(
        path: Option<&Path>,
        role: Role,
        allocations: bool,
    ) -> Result<Self, String> {
        let places: Vec<PathBuf> = match path {
            Some(path) => vec![path.to_owned()],
            None => USUAL.iter().map(PathBuf::from).collect(),
        };
        let mut refusals = Vec::new();
        for place in &places {
            match Connection::open(place) {
                Ok(connection) => {
                    let mut link = Self {
                        connection,
                        buffer: Buffer::new(),
                        last_id: 0,
                    };
                    link.say(&ToDataplane::Hello(Hello {
                        version: VERSION,
                        role,
                        software: Text::truncated(concat!("forebay ", env!("CARGO_PKG_VERSION"))),
                        allocations,
                    }))?;
                    return Ok(link);
                }
                Err(error) => refusals.push(error.to_string()),
            }
        }
        Err(format!(
            "no data plane answers; is one running, and may you read its socket?\n  {}",
            refusals.join("\n  ")
        ))
    }

    fn say(&mut self, message: &ToDataplane) -> Result<(), String> {
        match self.connection.send(message, &mut self.buffer) {
            Ok(true) => Ok(()),
            Ok(false) => Err("the data plane takes no messages".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a command and gives the id its answers have.
    pub(crate) fn command(&mut self, command: Command) -> Result<u32, String> {
        self.last_id += 1;
        let id = self.last_id;
        self.say(&ToDataplane::Command { id, command })?;
        Ok(id)
    }

    /// Waits for the answer to a command; what comes before it is handed on.
    pub(crate) fn answer(
        &mut self,
        id: u32,
        mut on_other: impl FnMut(FromDataplane),
    ) -> Result<Ack, String> {
        loop {
            match self.next()? {
                FromDataplane::Ack(ack) if ack.id == id => return Ok(ack),
                other => on_other(other),
            }
        }
    }

    /// Every session that lives, in the server's order.
    pub(crate) fn sessions(&mut self) -> Result<Vec<Session>, String> {
        let mut sessions = Vec::new();
        let mut from = None;
        loop {
            self.last_id += 1;
            let id = self.last_id;
            self.say(&ToDataplane::Sessions { id, from })?;
            let page = loop {
                if let FromDataplane::Sessions(page) = self.next()?
                    && page.id == id
                {
                    break page;
                }
            };
            sessions.extend(page.sessions.into_inner());
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(sessions),
            }
        }
    }

    /// The next message; an error when the data plane is silent for too long.
    pub(crate) fn next(&mut self) -> Result<FromDataplane, String> {
        self.next_until(Instant::now() + SILENCE_LIMIT)?
            .ok_or_else(|| {
                format!(
                    "the data plane has been silent for {} s",
                    SILENCE_LIMIT.as_secs()
                )
            })
    }

    /// Lets time pass and reads what comes meanwhile: who does not is dropped.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        while self.next_until(until)?.is_some() {}
        Ok(())
    }

    /// The next message, `None` when there is none by then.
    fn next_until(&mut self, deadline: Instant) -> Result<Option<FromDataplane>, String> {
        loop {
            match self.connection.receive(&mut self.buffer) {
                Ok(Some(FromDataplane::Rejected(rejected))) => {
                    return Err(format!("refused: {}", rejected.text));
                }
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let mut fds = [PollFd::new(self.connection.as_fd(), PollFlags::POLLIN)];
            let pause = left.min(Duration::from_secs(1));
            // An error is an interruption; the loop looks at the clock. Rounded
            // up, so as not to spin through the last millisecond.
            let pause = PollTimeout::try_from(pause + Duration::from_millis(1));
            let _ = poll(&mut fds, pause.unwrap_or(PollTimeout::ZERO));
        }
    }
}
