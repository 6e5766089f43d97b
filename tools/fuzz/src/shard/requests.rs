//! Authenticated requests: the only door to allocations.

use forebay_turn::{Credentials, User};
use forebay_wire::NoRoom;
use forebay_wire::stun::{AttributeType, Builder, Class, Method, TransactionId};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::Script;
use super::places::{CLIENTS, peer};
use super::world::{REALM, World};

const USERS: [(&str, &str); 2] = [("user", "password"), ("other", "word")];

/// Who may allocate.
pub(super) fn credentials() -> Credentials {
    let user = |(name, password): (&str, &str)| User {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    Credentials {
        secrets: Vec::new(),
        users: USERS.map(user).to_vec(),
    }
}

/// One request of one client. The operands choose method, user and
/// attributes; one bit of noise may be added behind the MAC's back.
pub(super) fn step(script: &mut Script<'_>, world: &mut World) -> Option<()> {
    let client = script.number()? % CLIENTS.len();
    if world.nonce(client).is_empty() {
        // A challenge first: the server tells its nonce.
        world.client_sends(client, &challenge()?, None);
        world.handle();
    }
    let (method, flags) = (script.byte()?, script.byte()?);
    let mut message = vec![0; 1024];
    let len = write(script, world, client, method, flags, &mut message)?.ok()?;
    message.truncate(len);
    if flags & 0x40 != 0 {
        let at = script.number()? * 2;
        if let Some(byte) = message.get_mut(at) {
            *byte ^= 1 << (script.byte()? % 8);
        }
    }
    world.client_sends(client, &message, None);
    if flags & 0x80 == 0 {
        world.handle();
    }
    Some(())
}

fn challenge() -> Option<Vec<u8>> {
    let mut message = vec![0; 64];
    let id = TransactionId([1; 12]);
    let mut builder = Builder::new(&mut message, Class::Request, Method::ALLOCATE, id).ok()?;
    builder
        .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .ok()?;
    let len = builder.len();
    message.truncate(len);
    Some(message)
}

/// `None` at the end of the script.
fn write(
    script: &mut Script<'_>,
    world: &mut World,
    client: usize,
    method: u8,
    flags: u8,
    message: &mut [u8],
) -> Option<Result<usize, NoRoom>> {
    let methods = [
        Method::ALLOCATE,
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
        Method::BINDING,
        Method::CONNECT,
        Method::CONNECTION_BIND,
    ];
    let method = methods[usize::from(method) % methods.len()];
    let mut attributes: Vec<(AttributeType, Vec<u8>)> = Vec::new();
    let mut peers = Vec::new();
    match method {
        Method::ALLOCATE => {
            let transport = if flags & 0x20 == 0 { 17 } else { 6 };
            attributes.push((AttributeType::REQUESTED_TRANSPORT, vec![transport, 0, 0, 0]));
            let family = script.byte()? % 4;
            if family != 0 {
                attributes.push((
                    AttributeType::REQUESTED_ADDRESS_FAMILY,
                    vec![family, 0, 0, 0],
                ));
            }
        }
        Method::CREATE_PERMISSION => {
            for _ in 0..=script.byte()? % 3 {
                peers.push(peer(script.byte()?, world));
            }
        }
        Method::CHANNEL_BIND => {
            attributes.push((
                AttributeType::CHANNEL_NUMBER,
                vec![0x40, script.byte()? % 9, 0, 0],
            ));
            peers.push(peer(script.byte()?, world));
        }
        Method::CONNECT => peers.push(peer(script.byte()?, world)),
        Method::CONNECTION_BIND => {
            let id = world.connection_id(script.number()?);
            attributes.push((AttributeType::CONNECTION_ID, id.to_be_bytes().to_vec()));
        }
        _ => {}
    }
    if flags & 0x04 != 0 && matches!(method, Method::ALLOCATE | Method::REFRESH) {
        let seconds = [0, 1, 600, 3600, u32::MAX][script.number()? % 5];
        attributes.push((AttributeType::LIFETIME, seconds.to_be_bytes().to_vec()));
    }
    if flags & 0x08 != 0 {
        // Any attribute at all: reservations, unknown ones, misshapen ones.
        let kind = u16::from_be_bytes([script.byte()? & 0x80, script.byte()?]);
        let len = script.number()? % 16;
        attributes.push((AttributeType(kind), script.bytes(len)));
    }
    let (name, password) = USERS[usize::from(flags & 1)];
    let password = if flags & 0x02 == 0 { password } else { "wrong" };
    let modern = Modern::choose(if flags & 0x20 != 0 {
        script.byte()?
    } else {
        Modern::LEGACY
    });
    let key = modern.key(&format!("{name}:{REALM}:{password}"));
    let id = world.next_transaction();
    let nonce = world.nonce(client).to_vec();

    let sign = |message: &mut [u8]| -> Result<usize, NoRoom> {
        let mut b = Builder::new(message, Class::Request, method, id)?;
        for (kind, value) in &attributes {
            b.push(*kind, value)?;
        }
        for peer in &peers {
            b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, *peer)?;
        }
        if modern.hashed {
            let hash = Sha256::digest(format!("{name}:{REALM}"));
            b.push(AttributeType::USERHASH, &hash)?;
        } else {
            b.push(AttributeType::USERNAME, name.as_bytes())?;
        }
        b.push(AttributeType::REALM, REALM.as_bytes())?;
        b.push(AttributeType::NONCE, &nonce)?;
        modern.seal(&mut b, &key)?;
        if flags & 0x10 != 0 {
            b.push_fingerprint()?;
        }
        Ok(b.len())
    };
    Some(sign(message))
}

/// What a client makes of RFC 8489.
struct Modern {
    list: &'static [u8],
    algorithm: &'static [u8],
    hashed: bool,
    sha1: bool,
    sha256: bool,
}

impl Modern {
    /// A client of RFC 5389.
    const LEGACY: u8 = 0x20;

    fn choose(byte: u8) -> Self {
        let lists: [&[u8]; 4] = [
            &[],
            &[0, 2, 0, 0, 0, 1, 0, 0],
            &[0, 2, 0, 0, 0, 1, 0, 0],
            &[0, 1, 0, 0],
        ];
        let algorithms: [&[u8]; 4] = [&[], &[0, 2, 0, 0], &[0, 1, 0, 0], &[0, 3, 0, 0]];
        Self {
            list: lists[usize::from(byte & 3)],
            algorithm: algorithms[usize::from(byte >> 2 & 3)],
            hashed: byte & 0x10 != 0,
            sha1: byte & 0x20 != 0,
            sha256: byte & 0x40 != 0,
        }
    }

    fn key(&self, text: &str) -> Vec<u8> {
        match self.algorithm {
            [0, 2, 0, 0] => Sha256::digest(text).to_vec(),
            _ => Md5::digest(text).to_vec(),
        }
    }

    fn seal(&self, b: &mut Builder<'_>, key: &[u8]) -> Result<(), NoRoom> {
        if !self.list.is_empty() {
            b.push(AttributeType::PASSWORD_ALGORITHMS, self.list)?;
        }
        if !self.algorithm.is_empty() {
            b.push(AttributeType::PASSWORD_ALGORITHM, self.algorithm)?;
        }
        if self.sha1 {
            let input = b.integrity_input();
            let mut mac = Hmac::<Sha1>::new_from_slice(key).map_err(|_| NoRoom)?;
            mac.update(&input.header);
            mac.update(input.body);
            b.push_integrity(&mac.finalize().into_bytes().into())?;
        }
        if self.sha256 {
            let input = b.integrity_sha256_input();
            let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| NoRoom)?;
            mac.update(&input.header);
            mac.update(input.body);
            b.push_integrity_sha256(&mac.finalize().into_bytes().into())?;
        }
        Ok(())
    }
}
