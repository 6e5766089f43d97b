//! Holds what a shard did with a batch against the model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use forebay_engine::{Counters, DropReason};
use forebay_turn::SocketId;

use super::batch::{Arrival, Sent};
use super::{Host, unix};
use crate::model::{Context, Delivery, Dropped, Relay, Tuple};
use crate::network::Time;
use crate::stun::{Class, Message, attribute, method, parse_channel_data};

/// Datagrams of one flow keep their order: everything from one relay socket
/// to one peer, or everything to one client.
type Flow = (SocketId, SocketAddr);

/// Relayed datagrams with their ECN field, in order.
type Flows = BTreeMap<Flow, Vec<(Delivery, u8)>>;

/// What came out of a listening socket that is no relayed payload.
type Answers = BTreeMap<Tuple, VecDeque<Vec<u8>>>;

/// One call of `Shard::handle`: the counters around it.
struct Counted {
    before: Counters,
    after: Counters,
}

impl Counted {
    fn dropped(&self, reason: DropReason) -> u64 {
        self.after.dropped(reason) - self.before.dropped(reason)
    }
}

impl Host {
    /// Compares what came out of a batch with what the model says. The shard
    /// looks at a batch twice, and so does the model: media first, then
    /// requests.
    pub(super) fn check_round(
        &mut self,
        index: usize,
        now: Time,
        arrivals: &[Arrival],
        sent: &[Sent],
        before: Counters,
    ) -> Result<(), String> {
        let counted = Counted {
            before,
            after: self.workers[index].shard.counters().clone(),
        };
        let (flows, answers) = self.sort(index, sent)?;
        let media = !flows.is_empty();
        let requests = self.check_media(index, arrivals, &flows, &counted)?;
        self.check_requests(index, now, &requests, answers, media, &counted)?;
        self.check_counters(arrivals, sent, &counted)
    }

    /// Holds everything relayed against the model. Gives the messages left
    /// for the second pass.
    fn check_media<'a>(
        &mut self,
        index: usize,
        arrivals: &'a [Arrival],
        actual: &Flows,
        counted: &Counted,
    ) -> Result<Vec<(Tuple, &'a [u8])>, String> {
        let mut expected = Flows::new();
        let mut dropped: BTreeMap<Dropped, u64> = BTreeMap::new();
        let mut requests = Vec::new();
        for arrival in arrivals {
            let bytes = arrival.packet.bytes.as_slice();
            let verdict = if self.model.plan.listeners.len() as u32 > arrival.socket.0 {
                let tuple = Tuple {
                    worker: index,
                    listener: arrival.socket,
                    client: arrival.packet.source,
                    local: arrival.local,
                };
                let Some(verdict) = self.model.client_datagram(tuple, bytes) else {
                    requests.push((tuple, bytes));
                    continue;
                };
                verdict
            } else {
                let relay = Relay {
                    worker: index,
                    socket: arrival.socket,
                };
                self.model
                    .peer_datagram(relay, arrival.packet.source, bytes)
            };
            match verdict {
                Ok(delivery) => {
                    let flow = expected.entry(flow(&delivery)).or_default();
                    flow.push((delivery, arrival.packet.ecn));
                }
                Err(reason) => *dropped.entry(reason).or_default() += 1,
            }
        }
        let mut overflow = counted.dropped(DropReason::BatchFull);
        let flows: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
        for flow in flows {
            let nothing = Vec::new();
            let due = expected.get(flow).unwrap_or(&nothing);
            let came = actual.get(flow).unwrap_or(&nothing);
            for missing in missing(due, came).map_err(|fault| format!("{flow:?}: {fault}"))? {
                overflow = overflow
                    .checked_sub(1)
                    .ok_or_else(|| format!("{flow:?}: not relayed: {missing:?}"))?;
                self.model.not_relayed(index, missing);
            }
        }
        for (reason, counter) in [
            (Dropped::NoAllocation, DropReason::NoAllocation),
            (Dropped::NoChannel, DropReason::NoChannel),
            (Dropped::NoPermission, DropReason::NoPermission),
            (Dropped::Denied, DropReason::PeerDenied),
        ] {
            let due = dropped.get(&reason).copied().unwrap_or(0);
            let counted = counted.dropped(counter);
            if counted != due {
                return Err(format!(
                    "{counted} packets counted as {counter:?}, {due} are due"
                ));
            }
        }
        Ok(requests)
    }

    /// Holds every answer against the model, in the order of the requests.
    fn check_requests(
        &mut self,
        index: usize,
        now: Time,
        requests: &[(Tuple, &[u8])],
        mut answers: Answers,
        media: bool,
        counted: &Counted,
    ) -> Result<(), String> {
        let per_batch = self.workers[index].requests_per_batch;
        let budget = if media { per_batch } else { usize::MAX };
        let overflowed = counted.dropped(DropReason::BatchFull) > 0;
        let mut heard = 0;
        let mut over_budget = 0;
        self.model.unpaid = 0;
        for (tuple, bytes) in requests {
            let answer = take_answer(&mut answers, *tuple, bytes);
            if heard == budget {
                over_budget += 1;
                if answer.is_some() {
                    return Err("a request beyond the batch's budget was answered".into());
                }
                continue;
            }
            // Refused for want of room, or silent anyway: either way unheard.
            if answer.is_none() && overflowed {
                continue;
            }
            heard += 1;
            self.check_request(index, now, *tuple, bytes, answer.as_deref())
                .map_err(|fault| format!("{tuple:?}: {fault}; {:?}", Message::parse(bytes)))?;
        }
        for (due, reason) in [
            (over_budget, DropReason::RequestBudget),
            (self.model.unpaid, DropReason::PrefixBudget),
        ] {
            if due != counted.dropped(reason) && !overflowed {
                return Err(format!(
                    "{} counted as {reason:?}, {due} are due",
                    counted.dropped(reason)
                ));
            }
        }
        match answers.into_iter().find(|(_, left)| !left.is_empty()) {
            None => Ok(()),
            Some((tuple, left)) => Err(format!(
                "{tuple:?} was sent an answer to nothing: {:?}",
                Message::parse(&left[0])
            )),
        }
    }

    fn check_request(
        &mut self,
        index: usize,
        now: Time,
        tuple: Tuple,
        bytes: &[u8],
        answer: Option<&[u8]>,
    ) -> Result<(), String> {
        let worker = &self.workers[index];
        let offered: Vec<_> = worker
            .pool
            .in_hand()
            .map(|(socket, relayed)| {
                (
                    Relay {
                        worker: index,
                        socket,
                    },
                    relayed,
                )
            })
            .collect();
        let context = Context {
            now,
            unix: unix(now),
            budgeted: self.budgeted,
            draining: worker.draining,
            offered: &offered,
        };
        let given = self.model.judge(&context, tuple, bytes, answer)?;
        if let Some(relay) = given {
            self.workers[index].pool.allocate(relay.socket)?;
        }
        Ok(())
    }

    /// In = relayed + answered + dropped, datagram by datagram.
    fn check_counters(
        &mut self,
        arrivals: &[Arrival],
        sent: &[Sent],
        counted: &Counted,
    ) -> Result<(), String> {
        let Counted { before, after } = counted;
        let relayed = after.to_peer_packets + after.to_client_packets
            - before.to_peer_packets
            - before.to_client_packets;
        let answered = after.answers - before.answers;
        let mut dropped = 0;
        for reason in DropReason::ALL {
            *self.report.dropped.entry(reason.name()).or_default() += counted.dropped(reason);
            dropped += counted.dropped(reason);
        }
        self.report.relayed += relayed;
        self.report.answered += answered;
        self.report.allocations += after.allocations_created - before.allocations_created;
        if relayed + answered != sent.len() as u64 {
            let sent = sent.len();
            return Err(format!(
                "{relayed} relayed, {answered} answered, but {sent} datagrams sent"
            ));
        }
        if relayed + answered + dropped != arrivals.len() as u64 {
            return Err(format!(
                "{} datagrams in, {relayed} relayed, {answered} answered, {dropped} dropped",
                arrivals.len()
            ));
        }
        Ok(())
    }

    /// Every relay socket is offered, held by one allocation, or closed.
    pub(super) fn check_pool(&self, index: usize) -> Result<(), String> {
        let worker = &self.workers[index];
        worker.shard.check()?;
        if worker.shard.relays_held() != worker.pool.held() {
            return Err(format!(
                "{:?} in hand, {:?} on offer",
                worker.shard.relays_held(),
                worker.pool.held()
            ));
        }
        if worker.shard.allocations() != worker.pool.allocated()
            || worker.ids.len() != worker.pool.allocated()
        {
            return Err(format!(
                "{} allocations, {} known by id, {} relay sockets",
                worker.shard.allocations(),
                worker.ids.len(),
                worker.pool.allocated()
            ));
        }
        Ok(())
    }

    /// Parts what was sent into relayed payloads by flow and answers.
    fn sort(&self, index: usize, sent: &[Sent]) -> Result<(Flows, Answers), String> {
        let mut flows = Flows::new();
        let mut answers = Answers::new();
        for sent in sent {
            let payload = sent.bytes.clone();
            let Some(locals) = self.model.plan.listeners.get(sent.socket.0 as usize) else {
                if self.workers[index].pool.local(sent.socket).is_none() {
                    return Err(format!("sent from {:?}, which is not open", sent.socket));
                }
                let delivery = Delivery::Peer {
                    relay: sent.socket,
                    destination: sent.destination,
                    payload,
                };
                flows
                    .entry(flow(&delivery))
                    .or_default()
                    .push((delivery, sent.ecn));
                continue;
            };
            let local = sent.source.filter(|source| locals.contains(source));
            let local = local
                .ok_or_else(|| format!("{:?} is no source of {:?}", sent.source, sent.socket))?;
            let tuple = Tuple {
                worker: index,
                listener: sent.socket,
                client: sent.destination,
                local,
            };
            match to_client(tuple, &sent.bytes)? {
                Some(delivery) => flows
                    .entry(flow(&delivery))
                    .or_default()
                    .push((delivery, sent.ecn)),
                None => answers.entry(tuple).or_default().push_back(payload),
            }
        }
        Ok((flows, answers))
    }
}

/// The payload a client is sent, or `None` for an answer.
fn to_client(tuple: Tuple, bytes: &[u8]) -> Result<Option<Delivery>, String> {
    if let [0x40..=0x7F, ..] = bytes {
        let (number, payload) =
            parse_channel_data(bytes).ok_or("broken ChannelData to a client")?;
        if bytes.len() != 4 + payload.len() {
            return Err("padded ChannelData to a client".into());
        }
        return Ok(Some(Delivery::Channel {
            tuple,
            number,
            payload: payload.to_vec(),
        }));
    }
    let message = Message::parse(bytes)
        .ok_or_else(|| format!("neither STUN nor ChannelData to a client: {bytes:?}"))?;
    if (message.class, message.method) != (Class::Indication, method::DATA) {
        return Ok(None);
    }
    match (
        message.address(attribute::XOR_PEER_ADDRESS),
        message.get(attribute::DATA),
    ) {
        (Some(peer), Some(payload)) => Ok(Some(Delivery::Indication {
            tuple,
            peer,
            payload: payload.to_vec(),
        })),
        _ => Err("a Data indication without peer or data".into()),
    }
}

fn flow(delivery: &Delivery) -> Flow {
    match delivery {
        Delivery::Peer {
            relay, destination, ..
        } => (*relay, *destination),
        Delivery::Channel { tuple, .. } | Delivery::Indication { tuple, .. } => {
            (tuple.listener, tuple.client)
        }
    }
}

/// What is due and did not come. Whatever came must be due, in that order.
fn missing<'a>(
    due: &'a [(Delivery, u8)],
    came: &[(Delivery, u8)],
) -> Result<Vec<&'a Delivery>, String> {
    let mut missing = Vec::new();
    let mut came = came.iter().peekable();
    for item in due {
        if came.next_if_eq(&item).is_none() {
            missing.push(&item.0);
        }
    }
    match came.next() {
        None => Ok(missing),
        Some(extra) => Err(format!(
            "relayed without right, altered or out of order: {extra:?}; missing {missing:?}"
        )),
    }
}

/// The oldest answer to this request. A damaged copy of a request draws none,
/// though it bears the same transaction.
fn take_answer(answers: &mut Answers, tuple: Tuple, request: &[u8]) -> Option<Vec<u8>> {
    let request = Message::parse(request).filter(Message::is_answerable)?;
    let queue = answers.get_mut(&tuple)?;
    let at = queue.iter().position(|answer| {
        let answer = Message::parse(answer);
        answer.is_some_and(|answer| {
            (answer.transaction, answer.method) == (request.transaction, request.method)
        })
    })?;
    queue.remove(at)
}
