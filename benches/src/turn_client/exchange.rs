//! Many request/response transactions at once on one thread.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::message::{
    ALLOCATE, CHANNEL_BIND, CHANNEL_NUMBER, LIFETIME, NONCE, REALM, REFRESH, REQUESTED_TRANSPORT,
    Request, Response, TransactionId, USERNAME, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS,
};
use super::{CHANNEL, LIFETIME_SECONDS, Session, Step, connected_sockets};

/// First retransmission; doubled each time (RFC 8489 §6.2.1).
const RETRANSMIT_AFTER: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 6;
/// A server that keeps saying 401 or 438 refuses the credentials.
const CHALLENGES: u32 = 3;
const UDP_PROTOCOL: [u8; 4] = [17, 0, 0, 0];

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
    session.issued += 1;
    let mut id = [0; 12];
    id[..4].copy_from_slice(&session.seed.to_be_bytes()[..4]);
    id[4..].copy_from_slice(&session.issued.to_be_bytes());
    pending.id = id;
    let flow = &session.flows[pending.flow];
    let method = match step {
        Step::Allocate => ALLOCATE,
        Step::Bind => CHANNEL_BIND,
        Step::Release => REFRESH,
    };
    let mut request = Request::new(method, &id);
    match step {
        Step::Allocate => {
            request.attribute(REQUESTED_TRANSPORT, &UDP_PROTOCOL);
            request.attribute(LIFETIME, &LIFETIME_SECONDS.to_be_bytes());
        }
        Step::Bind => {
            let [high, low] = CHANNEL.to_be_bytes();
            request.attribute(CHANNEL_NUMBER, &[high, low, 0, 0]);
            request.address(XOR_PEER_ADDRESS, flow.peer.context("no peer was set")?);
        }
        Step::Release => request.attribute(LIFETIME, &[0; 4]),
    }
    let authenticated = !flow.nonce.is_empty();
    if authenticated {
        request.attribute(USERNAME, session.credentials.username().as_bytes());
        request.attribute(REALM, session.realm.as_bytes());
        request.attribute(NONCE, &flow.nonce);
    }
    pending.bytes = request.finish(session.key.as_ref().filter(|_| authenticated));
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
            challenge(session, pending, &response)?;
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

fn challenge(session: &mut Session, pending: &Pending, response: &Response<'_>) -> Result<()> {
    let nonce = response
        .attribute(NONCE)
        .context("a challenge without a nonce")?;
    nonce.clone_into(&mut session.flows[pending.flow].nonce);
    if let Some(realm) = response.attribute(REALM) {
        let realm = std::str::from_utf8(realm).context("a realm that is not UTF-8")?;
        if session.key.is_none() || session.realm != realm {
            realm.clone_into(&mut session.realm);
            session.key = Some(session.credentials.key(realm)?);
        }
    }
    Ok(())
}
