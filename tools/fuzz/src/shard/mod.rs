//! A whole shard, driven by a script: datagrams of clients and peers, valid
//! authenticated requests among them so that deep states are reached, steps of
//! time, changes of policy and credentials. Invariants are checked after every
//! batch.
//!
//! The script is a sequence of steps, an opcode and its operands each. It ends
//! where the bytes end. Numbers are taken modulo what there is to choose from,
//! so that every script means something.

mod batch;
mod places;
mod requests;
mod tcp;
mod world;

use core::time::Duration;

use forebay_turn::Credentials;
use forebay_wire::ChannelData;
use forebay_wire::stun::{Builder, Class, Icmp, Method, TransactionId};

use places::{CLIENTS, peer};
use world::World;

/// What a script may cost: a run stays below some milliseconds.
const MAX_STEPS: usize = 2000;

/// Operands, until they run out.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        self.byte().map(usize::from)
    }

    /// As many bytes as asked for and left.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

pub(crate) fn run(input: &[u8]) {
    let mut script = Script(input);
    let Some(setting) = script.byte() else { return };
    let mut world = World::new(setting);
    for _ in 0..MAX_STEPS {
        if step(&mut script, &mut world).is_none() {
            break;
        }
    }
    world.handle();
    world.check_idle();
}

fn step(script: &mut Script<'_>, world: &mut World) -> Option<()> {
    match script.byte()? % 16 {
        0 => world.handle(),
        1 => {
            let client = script.number()? % CLIENTS.len();
            let len = script.number()?;
            world.client_sends(client, &script.bytes(len), None);
        }
        2..=5 => requests::step(script, world)?,
        6 | 7 => {
            let client = script.number()? % CLIENTS.len();
            let number = 0x4000 + u16::from(script.byte()? % 8);
            let (each, count) = (script.number()? * 6, 1 + script.number()? % 12);
            let one = channel_data(number, each, script.byte()?);
            world.client_sends(client, &one.repeat(count), Some(one.len()));
        }
        8 => {
            let client = script.number()? % CLIENTS.len();
            let to = peer(script.byte()?, world);
            let (len, count) = (script.number()? * 6, 1 + script.number()? % 12);
            let one = send_indication(to, len, false)?;
            world.client_sends(client, &one.repeat(count), Some(one.len()));
        }
        9 | 10 => {
            let relay = script.number()?;
            let from = peer(script.byte()?, world);
            let (each, total) = (1 + script.number()? * 6, script.number()? * 40);
            world.peer_sends(relay, from, total, each);
        }
        11 => {
            const STEPS: [u64; 8] = [1, 100, 1_000, 30_000, 299_000, 301_000, 601_000, 3_601_000];
            let millis = STEPS[script.number()? % STEPS.len()];
            world.advance(Duration::from_millis(millis));
        }
        12 => world.repeat_last(script.byte()?),
        13 => {
            let index = script.number()?;
            world.delete(index);
        }
        14 => world.shard.lower_max_segment(u16::from(script.byte()?) * 8),
        _ => match script.byte()? % 14 {
            0 => world.set_policy(&places::policy()),
            1 => world.set_policy(&places::strict_policy()),
            2 => world.set_policy(&places::open_policy()),
            3 => world.shard.set_credentials(&requests::credentials()),
            4 => world.shard.set_credentials(&Credentials::default()),
            5 => world.shard.drain(),
            6 => {
                let relay = script.number()?;
                let to = peer(script.byte()?, world);
                let icmp = Icmp {
                    kind: script.byte()? % 128,
                    code: script.byte()?,
                    data: 0,
                };
                world.icmp(relay, to, icmp);
            }
            7 => {
                let client = script.number()? % CLIENTS.len();
                let to = peer(script.byte()?, world);
                let one = send_indication(to, script.number()? * 6, true)?;
                world.client_sends(client, &one.repeat(2), Some(one.len()));
            }
            8 => {
                let (relay, from) = (script.number()?, peer(script.byte()?, world));
                world.peer_connects(relay, from);
            }
            choice @ 9..=10 => world.connect_ends(script.number()?, choice == 9),
            choice => world.connection_ends(script.number()?, choice),
        },
    }
    Some(())
}

fn channel_data(number: u16, len: usize, fill: u8) -> Vec<u8> {
    let header = ChannelData::header(number, len as u16);
    header
        .into_iter()
        .chain(std::iter::repeat_n(fill, len))
        .collect()
}

fn send_indication(
    peer: core::net::SocketAddr,
    len: usize,
    dont_fragment: bool,
) -> Option<Vec<u8>> {
    use forebay_wire::stun::AttributeType;
    let mut message = vec![0; 64 + len];
    let id = TransactionId([9; 12]);
    let mut builder = Builder::new(&mut message, Class::Indication, Method::SEND, id).ok()?;
    builder
        .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        .ok()?;
    if dont_fragment {
        builder.push_empty(AttributeType::DONT_FRAGMENT).ok()?;
    }
    builder.push(AttributeType::DATA, &vec![0xDA; len]).ok()?;
    let len = builder.len();
    message.truncate(len);
    Some(message)
}
