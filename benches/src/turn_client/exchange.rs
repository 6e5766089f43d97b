//! Many request/response transactions at once on one thread.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::message::{Response, TransactionId, XOR_RELAYED_ADDRESS};
use super::{CHALLENGES, Session, Step, connected_sockets};

/// First retransmission; doubled each time (RFC 8489 §6.2.1).
const RETRANSMIT_AFTER: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 6;

struct Pending {
    flow: usize,
    id: TransactionId,
    bytes: Vec<u8>,
    sent_at: Instant,
    attempts: u32,
    challenges: u32,
}

pub(super) fn run(session: &mut Session, step: Step, in_flight: usize) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let total = session.clients.len();
    let mut slots: Vec<Option<Pending>> = Vec::with_capacity(in_flight);
    let mut next = 0;
    let mut done = 0;
    while next < total.min(in_flight) {
        slots.push(Some(start(session, step, next, slots.len(), &epoll)?));
        next += 1;
    }
    let mut events = vec![EpollEvent::empty(); in_flight.max(1)];
    let mut swept_at = Instant::now();
    while done < total {
        let ready = epoll.wait(&mut events, EpollTimeout::from(50_u8))?;
        for event in &events[..ready] {
            let index = usize::try_from(event.data())?;
            let Some(pending) = slots.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            match receive(session, step, pending)? {
                Progress::Waiting => continue,
                Progress::Taken => {
                    epoll.delete(&session.clients[pending.flow])?;
                    move_port(session, pending.flow)?;
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
                    epoll.add(&session.clients[pending.flow], event)?;
                    send(session, step, pending)?;
                    continue;
                }
                Progress::Done => {}
            }
            epoll.delete(&session.clients[pending.flow])?;
            done += 1;
            slots[index] = None;
            if next < total {
                slots[index] = Some(start(session, step, next, index, &epoll)?);
                next += 1;
            }
        }
        if swept_at.elapsed() > Duration::from_millis(100) {
            swept_at = Instant::now();
            for pending in slots.iter_mut().flatten() {
                retransmit(session, pending)?;
            }
        }
    }
    Ok(())
}

fn start(
    session: &mut Session,
    step: Step,
    flow: usize,
    slot: usize,
    epoll: &Epoll,
) -> Result<Pending> {
    let event = EpollEvent::new(EpollFlags::EPOLLIN, slot as u64);
    epoll.add(&session.clients[flow], event)?;
    let mut pending = Pending {
        flow,
        id: [0; 12],
        bytes: Vec::new(),
        sent_at: Instant::now(),
        attempts: 0,
        challenges: 0,
    };
    send(session, step, &mut pending)?;
    Ok(pending)
}

/// Writes and sends the request anew, as a new transaction.
fn send(session: &mut Session, step: Step, pending: &mut Pending) -> Result<()> {
    pending.id = session.access.transaction();
    let flow = &session.flows[pending.flow];
    pending.bytes = session.access.request(step, &pending.id, flow)?;
    pending.sent_at = Instant::now();
    pending.attempts = 1;
    transmit(session, pending)
}

fn transmit(session: &Session, pending: &Pending) -> Result<()> {
    match session.clients[pending.flow].send(&pending.bytes) {
        // Errors of an earlier packet surface here; retransmission covers them.
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::ConnectionRefused
            ) =>
        {
            Err(error).context("cannot send a request")
        }
        _ => Ok(()),
    }
}

fn retransmit(session: &Session, pending: &mut Pending) -> Result<()> {
    let wait = RETRANSMIT_AFTER * 2_u32.pow(pending.attempts.saturating_sub(1));
    if pending.sent_at.elapsed() < wait {
        return Ok(());
    }
    if pending.attempts == ATTEMPTS {
        bail!("the server does not answer client {}", pending.flow);
    }
    pending.attempts += 1;
    pending.sent_at = Instant::now();
    transmit(session, pending)
}

/// Where a transaction stands.
enum Progress {
    /// No answer yet, or one that was answered in turn.
    Waiting,
    /// The server still holds an allocation of an earlier client that had the
    /// same port.
    Taken,
    /// Carried out.
    Done,
}

/// Opens another socket for a client, at a port of the kernel's choice.
fn move_port(session: &mut Session, flow: usize) -> Result<()> {
    let old = &session.clients[flow];
    let (local, server) = (old.local_addr()?.ip(), old.peer_addr()?);
    let moved = connected_sockets(&[local], None, 1, |_| server)?;
    session.flows[flow].nonce.clear();
    session.clients.splice(flow..=flow, moved);
    Ok(())
}

/// Takes one response.
fn receive(session: &mut Session, step: Step, pending: &mut Pending) -> Result<Progress> {
    let mut buffer = [0; 1500];
    let Ok(length) = session.clients[pending.flow].recv(&mut buffer) else {
        return Ok(Progress::Waiting);
    };
    let Some(response) =
        Response::parse(&buffer[..length]).filter(|response| response.answers(&pending.id))
    else {
        return Ok(Progress::Waiting);
    };
    if response.is_success() {
        if step == Step::Allocate {
            let relay = response
                .address(XOR_RELAYED_ADDRESS)
                .context("no relayed address")?;
            session.flows[pending.flow].relay = Some(relay);
        }
        return Ok(Progress::Done);
    }
    match response.error_code() {
        Some(401 | 438) if pending.challenges < CHALLENGES => {
            pending.challenges += 1;
            let flow = &mut session.flows[pending.flow];
            session.access.challenge(flow, &response)?;
            send(session, step, pending)?;
            Ok(Progress::Waiting)
        }
        Some(437) if step == Step::Allocate && pending.challenges < CHALLENGES => {
            pending.challenges += 1;
            Ok(Progress::Taken)
        }
        Some(code) => bail!("{step:?} of client {} is refused with {code}", pending.flow),
        None => bail!(
            "{step:?} of client {} is refused without a reason",
            pending.flow
        ),
    }
}
