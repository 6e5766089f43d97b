//! Whatever clients do: every port is in hand, held by one allocation or
//! reservation, or closed; nobody holds more than one may; and once all time
//! has passed nothing is left.

use forebay_turn::{Quota, Shared};
use forebay_wire::stun::{AttributeType, Method};
use proptest::prelude::*;

use super::common::*;
use super::mobility::mobile;
use super::offer_pair;

const USERS: u64 = 3;
const PER_USER: u32 = 4;
const TOTAL: u32 = 9;

#[derive(Debug, Clone)]
enum Step {
    Allocate {
        client: usize,
        kind: Kind,
    },
    Refresh {
        client: usize,
        family: u8,
        lifetime: u32,
    },
    Move {
        client: usize,
        to: usize,
        lifetime: u32,
    },
    Use {
        client: usize,
    },
    Pass {
        seconds: u64,
        timers: bool,
    },
    Pair,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Even,
    Pair,
    Both,
    /// With the n-th token ever given out.
    Token(usize),
    Mobile,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..8_usize;
    let kind = prop_oneof![
        Just(Kind::Plain),
        Just(Kind::Even),
        Just(Kind::Pair),
        Just(Kind::Pair),
        Just(Kind::Both),
        Just(Kind::Both),
        (0..6_usize).prop_map(Kind::Token),
        Just(Kind::Mobile),
    ];
    let lifetime = prop_oneof![Just(0_u32), Just(600), Just(2000)];
    let step = prop_oneof![
        8 => (client.clone(), kind).prop_map(|(client, kind)| Step::Allocate { client, kind }),
        4 => (client.clone(), 0..3_u8, lifetime.clone())
            .prop_map(|(client, family, lifetime)| Step::Refresh { client, family, lifetime }),
        3 => (client.clone(), client.clone(), lifetime)
            .prop_map(|(client, to, lifetime)| Step::Move { client, to, lifetime }),
        2 => client.prop_map(|client| Step::Use { client }),
        3 => (prop_oneof![1..40_u64, 1..700_u64], any::<bool>())
            .prop_map(|(seconds, timers)| Step::Pass { seconds, timers }),
        3 => Just(Step::Pair),
    ];
    proptest::collection::vec(step, 1..50)
}

fn run(steps: &[Step]) {
    let mut config = mobile();
    config.quota = Quota {
        allocations_per_user: Some(PER_USER),
        allocations: Some(TOTAL),
    };
    let shared = config.shared.clone();
    let mut world = World::new(config);
    let mut clients: Vec<Client> = (0..8_u64)
        .map(|n| {
            let user = format!("user{}", n % USERS);
            Client::rest(
                &world,
                &format!("198.18.0.1:{}", 4000 + n),
                &user,
                40_000,
                SECRET,
            )
        })
        .collect();
    let mut tokens: Vec<[u8; 8]> = Vec::new();
    let mut tickets: Vec<Option<Vec<u8>>> = vec![None; 8];
    // Sockets offered in pairs.
    let mut pairs = 0;
    let mut next_pair = 51_000;
    for step in steps {
        match step.clone() {
            Step::Allocate { client, kind } => {
                let answer = clients[client].allocate_with(&mut world, &|message| match kind {
                    Kind::Plain => {}
                    Kind::Even => message.push(AttributeType::EVEN_PORT, &[0]).unwrap(),
                    Kind::Pair => super::with_next_port(message),
                    Kind::Both => super::with_both_families(message),
                    Kind::Token(n) => {
                        let token = tokens.get(n).copied().unwrap_or([7; 8]);
                        super::with_token(token)(message);
                    }
                    Kind::Mobile => {
                        message.push_empty(AttributeType::MOBILITY_TICKET).unwrap();
                    }
                });
                assert!(
                    matches!(answer.code(), 0 | 437 | 486 | 508),
                    "{}",
                    answer.code()
                );
                let view = answer.view();
                tokens.extend(view.reservation_token());
                if let Some(ticket) = view.get(AttributeType::MOBILITY_TICKET) {
                    tickets[client] = Some(ticket.to_vec());
                }
            }
            Step::Refresh {
                client,
                family: of,
                lifetime,
            } => {
                let answer = clients[client].call(&mut world, Method::REFRESH, &|message| {
                    if of > 0 {
                        family(message, of);
                    }
                    message.push_u32(AttributeType::LIFETIME, lifetime).unwrap();
                });
                assert!(matches!(answer.code(), 0 | 437 | 443), "{}", answer.code());
            }
            Step::Move {
                client,
                to,
                lifetime,
            } => {
                let Some(ticket) = tickets[client].clone() else {
                    continue;
                };
                let answer = clients[to].call(&mut world, Method::REFRESH, &|message| {
                    message.push_u32(AttributeType::LIFETIME, lifetime).unwrap();
                    message
                        .push(AttributeType::MOBILITY_TICKET, &ticket)
                        .unwrap();
                });
                assert!(
                    matches!(answer.code(), 0 | 400 | 437 | 441),
                    "{}",
                    answer.code()
                );
                if let Some(ticket) = answer.view().get(AttributeType::MOBILITY_TICKET) {
                    tickets[to] = Some(ticket.to_vec());
                }
            }
            Step::Use { client } => {
                let _ = world.server.arrived(&clients[client].tuple);
            }
            Step::Pass { seconds, timers } if timers => world.advance(secs(seconds)),
            Step::Pass { seconds, .. } => world.advance_lazily(secs(seconds)),
            Step::Pair => {
                if world.server.pairs_held().v4 == 0 {
                    pairs += offer_pair(&mut world, next_pair).len();
                    next_pair += 2;
                }
            }
        }
        world.drain();
        let held = shared.held();
        assert!(held <= TOTAL.into(), "{held} held");
        check_sockets(&world, &shared, pairs);
    }
    world.advance(secs(5000));
    assert_eq!(world.server.allocations(), 0);
    assert_eq!(world.server.reservations(), 0);
    assert_eq!(shared.held(), 0);
    check_sockets(&world, &shared, pairs);
}

/// No socket is closed twice for one life, and as many are open as are in hand
/// or held.
fn check_sockets(world: &World, shared: &Shared, pairs: usize) {
    let held = world.server.relays_held();
    let in_pairs = world.server.pairs_held();
    let in_hand = held.v4 + held.v6 + 2 * (in_pairs.v4 + in_pairs.v6);
    let opened = world.offered + pairs;
    let given = shared.held() as usize;
    assert_eq!(opened - world.closed.len(), in_hand + given);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_leaks_and_quotas_hold(steps in steps()) {
        run(&steps);
    }
}
