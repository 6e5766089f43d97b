//! Connectivity checks (RFC 8445 §7.3) and DTLS on the paths they opened.

use core::time::Duration;

use forebay_wire::clock::{Instant, Now};
use forebay_wire::stun::{AttributeType, Class, Fingerprint, Message, Method};

use super::Hub;
use crate::event::{Command, Event};
use crate::ice::{Generation, Refused, answer, refuse, understood};
use crate::ids::SessionKey;
use crate::output::{Output, Path};
use crate::report::DropReason;
use crate::tables::SessionSlot;

/// Room for an answer: 20 bytes of header, 24 of address, 24 of integrity and
/// 8 of fingerprint; a refusal may list eight attributes.
const ANSWER: usize = 128;

/// Bounds the answers to those who do not know a password: somebody else's
/// address may be theirs.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    second: Instant,
    count: u32,
}

impl Refusals {
    const PER_SECOND: u32 = 500;

    fn take(&mut self, now: Instant) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.count = 0;
        }
        self.count += 1;
        self.count <= Self::PER_SECOND
    }
}

impl Hub {
    /// Answers a check. Returns the session if it got its first path by it.
    pub(crate) fn on_check(
        &mut self,
        now: Now,
        path: &Path,
        datagram: &[u8],
        out: &mut impl Output,
    ) -> Option<SessionSlot> {
        let Ok(check) = Message::parse(datagram) else {
            self.dropped(DropReason::Malformed);
            return None;
        };
        match (check.class(), check.method()) {
            (Class::Request, Method::BINDING) => {}
            // A keep-alive that says nothing of consent (RFC 8445 §11); we
            // send no requests, so that no answer is ours.
            (Class::Indication, Method::BINDING) => return None,
            _ => {
                self.dropped(DropReason::BadCheck);
                return None;
            }
        }
        if check.fingerprint() != Fingerprint::Valid {
            self.dropped(DropReason::BadCheck);
            return None;
        }
        match self.authenticate(&check) {
            Ok((slot, generation)) => self.good_check(now, path, &check, slot, generation, out),
            Err(why) => {
                self.dropped(DropReason::BadCheck);
                if self.refusals.take(now.instant)
                    && let Some(buffer) = out.reserve(ANSWER)
                    && let Ok(len) = refuse(buffer, &check, why, None)
                {
                    out.commit(self.flow(path), path, len);
                }
                None
            }
        }
    }

    /// Answers without a session share the flow of whichever session comes
    /// first: it only groups sends.
    fn flow(&mut self, path: &Path) -> u32 {
        self.session_on(path).map_or(0, |slot| slot.0)
    }

    fn authenticate(&self, check: &Message<'_>) -> Result<(SessionSlot, Generation), Refused> {
        let (Some(username), Some(integrity)) = (check.username(), check.integrity()) else {
            return Err(Refused::BadRequest);
        };
        let colon = username.iter().position(|byte| *byte == b':');
        let Some((local, remote)) = colon.and_then(|at| username.split_at_checked(at)) else {
            return Err(Refused::Unauthenticated);
        };
        let remote = remote.get(1..).unwrap_or_default();
        let slot = self.owner_of(local).ok_or(Refused::Unauthenticated)?;
        let ice = self
            .sessions
            .get(slot)
            .and_then(|session| session.ice.as_ref())
            .ok_or(Refused::Unauthenticated)?;
        let generation = ice.generation(local).ok_or(Refused::Unauthenticated)?;
        let credentials = ice
            .credentials(generation)
            .ok_or(Refused::Unauthenticated)?;
        // Both are always computed: the time tells nothing of either.
        let genuine = credentials.verifies(&integrity);
        if genuine & credentials.admits(remote) {
            Ok((slot, generation))
        } else {
            Err(Refused::Unauthenticated)
        }
    }

    fn good_check(
        &mut self,
        now: Now,
        path: &Path,
        check: &Message<'_>,
        slot: SessionSlot,
        generation: Generation,
        out: &mut impl Output,
    ) -> Option<SessionSlot> {
        let session = self.sessions.get_mut(slot)?;
        let ice = session.ice.as_mut()?;
        let refused = if check.get(AttributeType::ICE_CONTROLLED).is_some() {
            Some(Refused::RoleConflict)
        } else if check.unknown_required(understood).next().is_some() {
            Some(Refused::UnknownAttribute)
        } else {
            None
        };
        let Some(buffer) = out.reserve(ANSWER) else {
            self.dropped(DropReason::NoRoom);
            return None;
        };
        let credentials = ice.credentials(generation)?;
        let written = match refused {
            Some(why) => refuse(buffer, check, why, Some(credentials)),
            None => answer(buffer, check, path.remote, credentials),
        };
        let len = written.ok()?;
        out.commit(slot.0, path, len);
        if refused.is_some() {
            self.counters.dropped[DropReason::BadCheck as usize] += 1;
            return None;
        }
        self.counters.checks += 1;

        let ended = ice.heard(now.instant, generation);
        let selected = session.transport.path;
        let (new, given_up) = ice.tuples.checked(now.instant, path, selected.as_ref());
        let nominates = check.get(AttributeType::USE_CANDIDATE).is_some();
        let resumed = core::mem::take(&mut ice.disconnected);
        let moved = nominates && selected.as_ref() != Some(path);
        let key = session.transport.key;
        if let Some(ended) = ended {
            let hash = Self::fragment_hash(self.keyed, ended.ufrag().as_bytes());
            self.fragments.remove(hash, slot.0);
        }
        if let Some(given_up) = given_up {
            self.remove_path(&given_up, slot);
        }
        if new && !self.add_path(path, slot) {
            // Answered, but nothing else can come this way.
            self.sessions
                .get_mut(slot)?
                .ice
                .as_mut()?
                .tuples
                .remove(path);
            self.dropped(DropReason::NoRoom);
            return None;
        }
        let transport = &mut self.sessions.get_mut(slot)?.transport;
        if moved {
            transport.path = Some(*path);
        }
        if moved || resumed {
            let path = transport.path.unwrap_or(*path);
            self.event(Event::Connected { session: key, path });
        }
        (moved && selected.is_none()).then_some(slot)
    }

    /// Hands a DTLS datagram on, if its path is a session's.
    pub(crate) fn on_dtls(&mut self, now: Now, path: &Path, datagram: &[u8]) {
        let Some(slot) = self.session_on(path) else {
            self.dropped(DropReason::NoSession);
            return;
        };
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if session.ice.is_none() || datagram.len() > 1500 {
            self.dropped(DropReason::Malformed);
            return;
        }
        if !session.dtls.take(now.instant) {
            self.dropped(DropReason::DtlsBudget);
            return;
        }
        let command = Command::Dtls {
            session: session.transport.key,
            source: path.remote.ip(),
            datagram: datagram.into(),
        };
        if !self.queue.push(command) {
            self.dropped(DropReason::NoRoom);
        }
    }

    /// Sends a DTLS datagram. `None` when it was dropped.
    pub(crate) fn send_dtls(
        &mut self,
        key: SessionKey,
        datagram: &[u8],
        out: &mut impl Output,
    ) -> Option<()> {
        let slot = self.session(key)?;
        let session = self.sessions.get(slot)?;
        let path = session
            .transport
            .path
            .or(session.ice.as_ref()?.tuples.latest())?;
        let buffer = out.reserve(datagram.len())?;
        buffer.get_mut(..datagram.len())?.copy_from_slice(datagram);
        out.commit(slot.0, &path, datagram.len());
        Some(())
    }

    /// Queues news.
    pub(crate) fn event(&mut self, event: Event) {
        if !self.queue.event(event) {
            self.dropped(DropReason::NoRoom);
        }
    }
}
