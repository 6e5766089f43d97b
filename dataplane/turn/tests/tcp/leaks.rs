//! Whatever clients, peers and the network do: every connection has a number
//! until it is released and none afterwards, and once all time has passed
//! nothing is left of allocations, sockets, quota and connections.

use forebay_turn::{PeerConnection, Quota};
use proptest::prelude::*;

use super::common::*;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Allocate { client: usize },
    Refresh { client: usize, lifetime: u32 },
    Permit { client: usize },
    Connect { client: usize, peer: u16 },
    Connected { nth: usize, success: bool },
    Incoming { client: usize, peer: u16 },
    Bind { nth: usize, client: usize },
    HangUp { nth: usize },
    Release { nth: usize },
    Disconnect { client: usize },
    Pass { seconds: u64, timers: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..4_usize;
    let peer = || 5000..5004_u16;
    let nth = || 0..8_usize;
    let step = prop_oneof![
        4 => client().prop_map(|client| Step::Allocate { client }),
        2 => (client(), prop_oneof![Just(0_u32), Just(600), Just(2000)])
            .prop_map(|(client, lifetime)| Step::Refresh { client, lifetime }),
        2 => client().prop_map(|client| Step::Permit { client }),
        6 => (client(), peer()).prop_map(|(client, peer)| Step::Connect { client, peer }),
        5 => (nth(), any::<bool>()).prop_map(|(nth, success)| Step::Connected { nth, success }),
        4 => (client(), peer()).prop_map(|(client, peer)| Step::Incoming { client, peer }),
        4 => (nth(), client()).prop_map(|(nth, client)| Step::Bind { nth, client }),
        3 => nth().prop_map(|nth| Step::HangUp { nth }),
        6 => nth().prop_map(|nth| Step::Release { nth }),
        1 => client().prop_map(|client| Step::Disconnect { client }),
        3 => (prop_oneof![1..40_u64, 1..700_u64], any::<bool>())
            .prop_map(|(seconds, timers)| Step::Pass { seconds, timers }),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What a worker would know.
#[derive(Default)]
struct Worker {
    /// Numbers that were given and not released.
    taken: Vec<PeerConnection>,
    under_way: Vec<PeerConnection>,
    ids: Vec<u32>,
    relays: [Option<SocketId>; 4],
}

impl Worker {
    fn take(&mut self, connection: PeerConnection) {
        assert!(!self.taken.contains(&connection), "given twice");
        self.taken.push(connection);
    }

    fn pick(&self, nth: usize) -> Option<PeerConnection> {
        (!self.taken.is_empty()).then(|| self.taken[nth % self.taken.len()])
    }

    fn release(&mut self, world: &mut World, connection: PeerConnection) {
        self.taken.retain(|taken| *taken != connection);
        self.under_way.retain(|taken| *taken != connection);
        world.hanging.retain(|hanging| *hanging != connection);
        world.server.released(connection);
    }
}

fn run(steps: &[Step]) {
    let mut config = tcp_config();
    config.tcp.connections = 7;
    config.quota = Quota {
        allocations_per_user: None,
        allocations: Some(3),
    };
    let shared = config.shared.clone();
    let mut world = World::new(config);
    let mut clients: Vec<Client> = (1..=4).map(|port| alice(&mut world, port)).collect();
    let mut data: Vec<Client> = (11..=14).map(|port| alice(&mut world, port)).collect();
    let mut worker = Worker::default();
    for step in steps {
        match step.clone() {
            Step::Allocate { client } => {
                let answer = allocate(&mut clients[client], &mut world, &|_| {});
                assert!(matches!(answer.code(), 0 | 437 | 508), "{}", answer.code());
                if answer.code() == 0 {
                    worker.relays[client] = Some(world.latest().0);
                }
            }
            Step::Refresh { client, lifetime } => {
                clients[client].refresh(&mut world, Some(lifetime));
            }
            Step::Permit { client } => {
                clients[client].permit(&mut world, &["8.8.4.4:1"]);
            }
            Step::Connect { client, peer } => {
                if clients[client].nonce.is_empty() {
                    clients[client].challenge(&mut world);
                }
                match connect(&mut clients[client], &mut world, &format!("8.8.4.4:{peer}")) {
                    Ok(connection) => {
                        worker.take(connection);
                        worker.under_way.push(connection);
                    }
                    Err(code) => assert!(matches!(code, 437 | 446 | 508), "{code}"),
                }
            }
            Step::Connected { nth, success } => {
                if worker.under_way.is_empty() {
                    continue;
                }
                let nth = nth % worker.under_way.len();
                let connection = worker.under_way.remove(nth);
                if let Some(answer) = connected(&mut world, connection, success) {
                    worker.ids.extend(answer.view().connection_id());
                    assert_eq!(answer.code() == 0, success);
                }
            }
            Step::Incoming { client, peer } => {
                let Some(relay) = worker.relays[client] else {
                    continue;
                };
                if let Ok((come, indication)) =
                    incoming(&mut world, relay, &format!("8.8.4.4:{peer}"))
                {
                    worker.take(come.connection);
                    let message = Message::parse(&indication).unwrap();
                    worker.ids.extend(message.connection_id());
                }
            }
            Step::Bind { nth, client } => {
                let Some(id) = worker.ids.get(nth).copied() else {
                    continue;
                };
                let code = bind(&mut data[client], &mut world, id);
                assert!(matches!(code, 0 | 400), "{code}");
            }
            Step::HangUp { nth } => {
                if let Some(connection) = worker.pick(nth) {
                    world.server.hung_up(connection);
                }
            }
            Step::Release { nth } => {
                // A worker releases what it was told to close, or hung up.
                if let Some(connection) = worker.pick(nth) {
                    worker.release(&mut world, connection);
                }
            }
            Step::Disconnect { client } => {
                world.server.disconnected(&clients[client].tuple);
            }
            Step::Pass { seconds, timers } if timers => world.advance(secs(seconds)),
            Step::Pass { seconds, .. } => world.advance_lazily(secs(seconds)),
        }
        world.drain();
        assert_eq!(world.server.connections(), worker.taken.len());
        assert!(shared.held() <= 3);
        check_sockets(&world, &shared);
    }
    world.advance(secs(5000));
    assert_eq!(world.server.allocations(), 0);
    assert_eq!(shared.held(), 0);
    check_sockets(&world, &shared);
    for connection in worker.taken.clone() {
        worker.release(&mut world, connection);
    }
    world.drain();
    assert_eq!(world.server.connections(), 0);
}

/// As many sockets are open as are in hand or held.
fn check_sockets(world: &World, shared: &forebay_turn::Shared) {
    let held = world.server.relays_held();
    let opened = world.offered + world.listening;
    assert_eq!(
        opened - world.closed.len(),
        held.v4 + held.v6 + shared.held() as usize
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nothing_leaks(steps in steps()) {
        run(&steps);
    }
}
