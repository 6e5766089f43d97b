//! Random requests, packets and pauses against a model that is nothing but
//! maps and deadlines.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::*;
use forebay_turn::{ChannelNumber, Framing, PeerAddr, SocketId};
use proptest::prelude::*;

const CLIENTS: usize = 3;
const IPS: [&str; 3] = ["8.8.4.4", "9.9.9.9", "1.1.1.1"];
const PORTS: [u16; 2] = [5000, 6000];
const NUMBERS: [u16; 3] = [0x4000, 0x4001, 0x4FFF];
const PERMISSIONS: usize = 2;
const CHANNELS: usize = 2;
const GUARD: u64 = 300;

#[derive(Debug, Clone)]
enum Step {
    Allocate {
        client: usize,
        lifetime: u32,
    },
    Refresh {
        client: usize,
        lifetime: u32,
    },
    Permit {
        client: usize,
        ips: Vec<usize>,
    },
    Bind {
        client: usize,
        number: usize,
        ip: usize,
        port: usize,
    },
    Delete {
        client: usize,
    },
    Pass {
        seconds: u64,
        timers: bool,
    },
    Deny {
        ip: Option<usize>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..CLIENTS;
    let lifetime = prop_oneof![Just(0_u32), Just(600), 600..4000_u32];
    let step = prop_oneof![
        3 => (client.clone(), lifetime.clone())
            .prop_map(|(client, lifetime)| Step::Allocate { client, lifetime }),
        2 => (client.clone(), lifetime).prop_map(|(client, lifetime)| Step::Refresh { client, lifetime }),
        3 => (client.clone(), proptest::collection::vec(0..IPS.len(), 1..4))
            .prop_map(|(client, ips)| Step::Permit { client, ips }),
        6 => (client.clone(), 0..NUMBERS.len(), 0..IPS.len(), 0..PORTS.len())
            .prop_map(|(client, number, ip, port)| Step::Bind { client, number, ip, port }),
        1 => client.prop_map(|client| Step::Delete { client }),
        5 => (prop_oneof![1..50_u64, Just(299), Just(300), 1..700_u64], prop::bool::weighted(0.8))
            .prop_map(|(seconds, timers)| Step::Pass { seconds, timers }),
        1 => proptest::option::of(0..IPS.len()).prop_map(|ip| Step::Deny { ip }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Deadlines in seconds of virtual time.
#[derive(Debug)]
struct Model {
    relay: SocketId,
    ends: u64,
    permissions: BTreeMap<usize, u64>,
    channels: BTreeMap<usize, (usize, usize, u64)>,
}

impl Model {
    fn peer_of(&self, number: usize) -> Option<(usize, usize)> {
        self.channels.get(&number).map(|&(ip, port, _)| (ip, port))
    }

    fn number_of(&self, ip: usize, port: usize) -> Option<usize> {
        self.channels
            .iter()
            .find(|(_, entry)| (entry.0, entry.1) == (ip, port))
            .map(|(&number, _)| number)
    }

    fn permitted(&self, now: u64, ip: usize) -> bool {
        self.permissions.get(&ip).is_some_and(|&ends| now < ends)
    }

    /// Forgets what no longer counts. Where timers have not run, the server
    /// may still count it: such steps are followed by one that runs them.
    fn tidy(&mut self, now: u64) {
        self.channels.retain(|_, entry| now < entry.2 + GUARD);
        let channels = &self.channels;
        self.permissions
            .retain(|&ip, &mut ends| now < ends || channels.values().any(|entry| entry.0 == ip));
    }

    fn deny(&mut self, ip: usize) {
        self.permissions.remove(&ip);
        self.channels.retain(|_, entry| entry.0 != ip);
    }

    fn permit(&mut self, now: u64, ips: &[usize]) -> u16 {
        let mut after = self.permissions.clone();
        for &ip in ips {
            after.insert(ip, now + 300);
        }
        if after.len() > PERMISSIONS {
            return 508;
        }
        self.permissions = after;
        0
    }

    fn bind(&mut self, now: u64, number: usize, ip: usize, port: usize) -> u16 {
        match (self.peer_of(number), self.number_of(ip, port)) {
            (None, None) => {
                if self.channels.len() >= CHANNELS {
                    return 508;
                }
                let code = self.permit(now, &[ip]);
                if code != 0 {
                    return code;
                }
            }
            (Some(peer), Some(bound)) if peer == (ip, port) && bound == number => {
                self.permissions.insert(ip, now + 300);
            }
            _ => return 400,
        }
        self.channels.insert(number, (ip, port, now + 600));
        0
    }
}

fn peer(ip: usize, port: usize) -> String {
    format!("{}:{}", IPS[ip], PORTS[port])
}

/// Everything a packet can meet, compared.
fn compare(
    world: &mut World,
    clients: &[Client],
    models: &[Option<Model>],
    now: u64,
) -> Result<(), TestCaseError> {
    for (client, model) in clients.iter().zip(models) {
        let live = model.as_ref().filter(|model| now < model.ends);
        for (number, &wire) in NUMBERS.iter().enumerate() {
            let expected = live.and_then(|model| {
                let &(ip, port, ends) = model.channels.get(&number)?;
                (now < ends && model.permitted(now, ip))
                    .then(|| (model.relay, addr(&peer(ip, port))))
            });
            let got = world.channel(client, wire).ok();
            prop_assert_eq!(got.map(|to| (to.relay, to.destination)), expected);
        }
        for ip in 0..IPS.len() {
            for port in 0..PORTS.len() {
                let permitted = live.filter(|model| model.permitted(now, ip));
                let sent = world.send(client, &peer(ip, port)).ok();
                prop_assert_eq!(
                    sent.map(|to| (to.relay, to.destination)),
                    permitted.map(|model| (model.relay, addr(&peer(ip, port))))
                );
                let Some(model) = model else { continue };
                let bound = model
                    .number_of(ip, port)
                    .filter(|number| now < model.channels[number].2);
                let framing = permitted.map(|_| match bound {
                    Some(number) => Framing::Channel(ChannelNumber::new(NUMBERS[number]).unwrap()),
                    None => Framing::DataIndication(PeerAddr(addr(&peer(ip, port)))),
                });
                let got = world.from_peer(model.relay, &peer(ip, port)).ok();
                prop_assert_eq!(got.map(|to| to.framing), framing);
                prop_assert!(got.is_none_or(|to| to.tuple == client.tuple));
            }
        }
    }
    Ok(())
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut small = config();
    small.capacity.allocations = 4;
    small.capacity.permissions_per_allocation = PERMISSIONS as u16;
    small.capacity.channels_per_allocation = CHANNELS as u16;
    small.lifetimes.nonce = secs(1_000_000);
    let mut world = World::new(small);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|n| Client::alice(4000 + n as u16))
        .collect();
    let mut models: Vec<Option<Model>> = (0..CLIENTS).map(|_| None).collect();
    let mut now = 0;
    let mut denied = None;
    for step in steps {
        for model in &mut models {
            if model.as_ref().is_some_and(|model| now >= model.ends) {
                *model = None;
            }
            if let Some(model) = model {
                model.tidy(now);
            }
        }
        let step_text = format!("{step:?}");
        match step {
            Step::Allocate { client, lifetime } => {
                let answer = clients[client].allocate_with(&mut world, &|message| {
                    let kind = forebay_wire::stun::AttributeType::LIFETIME;
                    message.push_u32(kind, lifetime).unwrap();
                });
                let expected = if models[client].is_some() { 437 } else { 0 };
                prop_assert_eq!(answer.code(), expected);
                if expected == 0 {
                    let given = lifetime.clamp(600, 3600);
                    prop_assert_eq!(answer.lifetime(), given);
                    models[client] = Some(Model {
                        relay: world.latest().0,
                        ends: now + u64::from(given),
                        permissions: BTreeMap::new(),
                        channels: BTreeMap::new(),
                    });
                }
            }
            Step::Refresh { client, lifetime } => {
                let answer = clients[client].refresh(&mut world, Some(lifetime));
                match &mut models[client] {
                    None => prop_assert_eq!(answer.code(), 437),
                    Some(_) if lifetime == 0 => {
                        prop_assert_eq!(answer.lifetime(), 0);
                        models[client] = None;
                    }
                    Some(model) => {
                        let given = lifetime.clamp(600, 3600);
                        prop_assert_eq!(answer.lifetime(), given);
                        model.ends = now + u64::from(given);
                    }
                }
            }
            Step::Permit { client, ips } => {
                let named: Vec<String> = ips.iter().map(|&ip| peer(ip, 0)).collect();
                let code = clients[client].permit(
                    &mut world,
                    &named.iter().map(String::as_str).collect::<Vec<_>>(),
                );
                let expected = match &mut models[client] {
                    None => 437,
                    Some(_) if ips.iter().any(|&ip| Some(ip) == denied) => 403,
                    Some(model) => model.permit(now, &ips),
                };
                prop_assert_eq!(code, expected, "{}", step_text);
            }
            Step::Bind {
                client,
                number,
                ip,
                port,
            } => {
                let code = clients[client].bind(&mut world, NUMBERS[number], &peer(ip, port));
                let expected = match &mut models[client] {
                    None => 437,
                    Some(model)
                        if model.peer_of(number).is_none()
                            && model.number_of(ip, port).is_none()
                            && Some(ip) == denied =>
                    {
                        403
                    }
                    Some(model) => model.bind(now, number, ip, port),
                };
                prop_assert_eq!(code, expected, "{}", step_text);
            }
            Step::Deny { ip } => {
                denied = ip;
                world.server.set_policy(&forebay_turn::PeerPolicy {
                    deny: ip
                        .map(|ip| addr(&peer(ip, 0)).ip().into())
                        .into_iter()
                        .collect(),
                    ..policy()
                });
                world.drain();
                for model in models.iter_mut().flatten() {
                    ip.inspect(|&ip| model.deny(ip));
                }
            }
            Step::Delete { client } => {
                if let Some(model) = models[client].take() {
                    let relay = model.relay;
                    let id = world
                        .server
                        .from_peer(world.now, relay, addr("8.8.4.4:5000"))
                        .ok()
                        .map(|to| to.allocation);
                    match id {
                        Some(id) => {
                            prop_assert!(world.server.delete(world.now, id));
                            world.drain();
                        }
                        None => models[client] = Some(model),
                    }
                }
            }
            Step::Pass { seconds, timers } => {
                now += seconds;
                if timers {
                    world.advance(secs(seconds));
                } else {
                    world.advance_lazily(secs(seconds));
                    compare(&mut world, &clients, &models, now)?;
                    world.advance(secs(0));
                }
            }
        }
        compare(&mut world, &clients, &models, now)?;
        let live = models
            .iter()
            .flatten()
            .filter(|model| now < model.ends)
            .count();
        prop_assert_eq!(world.server.allocations(), live);
    }
    // Left alone, everything ends and every relay comes back.
    world.advance(secs(4000));
    prop_assert_eq!(world.server.allocations(), 0);
    prop_assert!(world.timers.is_empty());
    let made = world
        .events
        .iter()
        .filter(|event| matches!(event, forebay_turn::Command::Created { .. }))
        .count();
    prop_assert_eq!((world.closed.len(), world.deletions().len()), (made, made));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn behaves_like_the_model(steps in steps()) {
        run(steps)?;
    }
}
