//! A server under churn for half an hour: clients that come, move and vanish
//! over every transport, strangers, and an operator who reloads and renews
//! meanwhile. After each round everybody rests, and the server has to hold
//! what it held at the start and no more.

mod authority;
mod churn;
mod client;
mod hostile;
mod link;
mod operator;
mod server;
pub mod table;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::gate::Gate;
use authority::Authority;
pub use churn::Churn;
pub use hostile::Hostile;
pub use link::Transport;
pub use operator::Operated;
pub use server::Holdings;
use server::{PEERS, Server};

/// The shortest and the longest round of churn, before everybody rests.
const ROUND: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(110)];
/// Rounds of the shortest run: one to warm up, and two to compare.
const FEWEST: usize = 3;
/// How long the server has, at rest, to be back where it was: clients that
/// left allocations or a held port behind are heard no more.
const REST: Duration = Duration::from_secs(50);
/// The part of the rounds in which memory may still grow.
const WARMING: usize = 5;
/// What resident memory may grow by from there to the end: the allocator's own
/// noise, and no leak of any of the thousands of things that came and went.
const GROWTH: u64 = 4 << 20;
/// Threads that churn over UDP; one each over TCP and TLS.
const OVER_UDP: usize = 2;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long.
    pub duration: Duration,
    /// The binary.
    pub turnd: PathBuf,
}

/// What the server held after a round.
#[derive(Clone, Debug, Serialize)]
pub struct Rest {
    /// Since the start of the soak.
    pub minutes: f64,
    /// Allocations made so far.
    pub allocations: u64,
    /// Seconds until the server was back where it began.
    pub seconds: f64,
    /// Held then.
    pub held: Holdings,
}

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Minutes it took.
    pub minutes: f64,
    /// What clients did.
    pub churn: Churn,
    /// What strangers did.
    pub hostile: Hostile,
    /// What the operator did.
    pub operated: Operated,
    /// Held before anybody came.
    pub start: Holdings,
    /// Held after each round.
    pub rests: Vec<Rest>,
    /// Errors of the server's log.
    pub errors: Vec<String>,
    /// What had to hold.
    pub gates: Vec<Gate>,
}

impl Report {
    /// Whether everything held.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.gates.iter().all(|gate| gate.reached)
    }
}

#[derive(Default)]
struct Counts {
    churn: churn::Counts,
    hostile: hostile::Counts,
    operated: operator::Counts,
}

/// Runs it. Ends early when a rest shows that something does not hold.
///
/// # Errors
/// When the server cannot be started, ends, or does not answer its operator.
pub fn run(options: &Options) -> Result<Report> {
    let authority = Authority::new()?;
    let mut server = Server::start(&options.turnd, &authority)?;
    let peer = UdpSocket::bind((PEERS, 0))?;
    let place = churn::Place {
        server: server.address(Transport::Udp),
        peer: peer.local_addr()?,
        trust: authority.trust()?,
        credentials: server.credentials("soak")?,
    };
    let counts = Counts::default();
    let over = AtomicBool::new(false);
    let bar = ProgressBar::new(options.duration.as_secs())
        .with_style(ProgressStyle::with_template("{bar:30} {elapsed} of {msg}")?);
    // Relay sockets are opened ahead; only then is it the start.
    thread::sleep(Duration::from_secs(1));
    let start = server.holdings()?;
    let begin = Instant::now();
    let mut rests: Vec<Rest> = Vec::new();
    thread::scope(|scope| -> Result<()> {
        scope.spawn(|| churn::echo(&peer, &over));
        let outcome = (|| {
            while begin.elapsed() < options.duration || rests.len() < FEWEST {
                round(&server, &authority, &place, options, &counts, &bar)?;
                let rest = rest(&server, &start, begin, &counts)?;
                let held = rest.held;
                rests.push(rest);
                bar.set_position(begin.elapsed().as_secs().min(options.duration.as_secs()));
                if !held.is_back_at(&start) || !server.errors().is_empty() {
                    break;
                }
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        outcome
    })?;
    bar.finish_and_clear();
    let errors = server.errors();
    let alive = server.is_alive();
    let mut report = Report {
        minutes: begin.elapsed().as_secs_f64() / 60.0,
        churn: counts.churn.read(),
        hostile: counts.hostile.read(),
        operated: counts.operated.read(),
        start,
        rests,
        errors,
        gates: Vec::new(),
    };
    report.gates = gates(&report, alive);
    Ok(report)
}

/// Everybody at once, for one round.
fn round(
    server: &Server,
    authority: &Authority,
    place: &churn::Place,
    options: &Options,
    counts: &Counts,
    bar: &ProgressBar,
) -> Result<()> {
    let length = (options.duration / 12).clamp(ROUND[0], ROUND[1]);
    let until = Instant::now() + length;
    let udp = server.address(Transport::Udp);
    let tls = server.address(Transport::Tls);
    let at = |server| churn::Place {
        server,
        ..place.clone()
    };
    let (plain, secured) = (at(udp), at(tls));
    let victim = churn::Place {
        credentials: server.credentials(operator::VICTIM)?,
        ..at(udp)
    };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..OVER_UDP {
            threads.push(scope.spawn(|| churn::run(&plain, Transport::Udp, until, &counts.churn)));
        }
        threads.extend([
            scope.spawn(|| churn::run(&plain, Transport::Tcp, until, &counts.churn)),
            scope.spawn(|| churn::run(&secured, Transport::Tls, until, &counts.churn)),
            scope.spawn(|| churn::victims(&victim, until, &counts.churn)),
            scope.spawn(|| hostile::datagrams([udp, server.dtls()], until, &counts.hostile)),
            scope.spawn(|| hostile::connections(&plain, tls, until, &counts.hostile)),
            scope.spawn(|| operator::run(server, authority, until, &counts.operated)),
        ]);
        while Instant::now() < until {
            bar.set_message(format!(
                "{} min, {} allocations, {:.1} MB",
                options.duration.as_secs() / 60,
                counts.churn.read().allocations.iter().sum::<u64>(),
                server.holdings()?.memory as f64 / 1e6,
            ));
            bar.set_position(bar.elapsed().as_secs().min(options.duration.as_secs()));
            thread::sleep(Duration::from_secs(1));
        }
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread of the soak panicked"))??;
        }
        Ok(())
    })
}

/// Waits until the server holds what it held at the start, or has had time.
fn rest(server: &Server, start: &Holdings, begin: Instant, counts: &Counts) -> Result<Rest> {
    let resting = Instant::now();
    loop {
        let held = server.holdings().context("no metrics at rest")?;
        if held.is_back_at(start) || resting.elapsed() > REST {
            return Ok(Rest {
                minutes: begin.elapsed().as_secs_f64() / 60.0,
                allocations: counts.churn.read().allocations.iter().sum(),
                seconds: resting.elapsed().as_secs_f64(),
                held,
            });
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// What may go wrong without a fault: UDP keeps no promise on a busy machine,
/// and a port may be had again while a late datagram of its last owner is on
/// its way.
const RARELY: &str = "at most one in 10,000";

const fn is_rare(count: u64, of: u64) -> bool {
    of > 0 && count * 10_000 <= of
}

fn gates(report: &Report, alive: bool) -> Vec<Gate> {
    let gate = |name: &str, limit: &str, measured: String, reached: bool| Gate {
        name: name.to_owned(),
        limit: limit.to_owned(),
        measured,
        reached,
    };
    let back = report
        .rests
        .iter()
        .filter(|rest| rest.held.is_back_at(&report.start))
        .count();
    let warm = report.rests.get(report.rests.len() / WARMING);
    let memory = |rest: Option<&Rest>| rest.map_or(0, |rest| rest.held.memory);
    let (warm, last) = (memory(warm), memory(report.rests.last()));
    let growth = last.saturating_sub(warm);
    let churn = &report.churn;
    let clients = churn.allocations.iter().sum();
    vec![
        gate("the server lives", "to the end", format!("{alive}"), alive),
        gate(
            "rests with nothing left over",
            "every one: allocations, ports, connections and descriptors as at the start",
            format!("{back} of {}", report.rests.len()),
            back == report.rests.len() && back >= FEWEST,
        ),
        gate(
            "memory since it was warm",
            &format!("at most {:.0} MB more", GROWTH as f64 / 1e6),
            format!(
                "{:+.1} MB ({:.1} to {:.1})",
                (last as f64 - warm as f64) / 1e6,
                warm as f64 / 1e6,
                last as f64 / 1e6
            ),
            growth <= GROWTH,
        ),
        gate(
            "errors in the log",
            "none",
            report.errors.len().to_string(),
            report.errors.is_empty(),
        ),
        gate(
            "clients refused or not answered",
            RARELY,
            format!("{} of {clients}", churn.failed),
            is_rare(churn.failed, clients),
        ),
        gate(
            "packets lost",
            RARELY,
            format!("{} of {}", churn.lost, churn.sent),
            is_rare(churn.lost, churn.sent),
        ),
    ]
}
