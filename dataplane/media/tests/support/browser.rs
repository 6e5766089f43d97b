//! A client: checks, SRTP and what it received.

use core::net::SocketAddr;
use std::collections::HashMap;

use aws_lc_rs::hmac;
use forebay_media::srtp::{Inbound, Keys, Master, Outbound, Profile};
use forebay_media::{IceCredentials, SessionConfig, SessionKey, Transport};
use forebay_wire::Protocol;
use forebay_wire::clock::Instant;
use forebay_wire::rtp;
use forebay_wire::stun::{AttributeType, Builder, Class, Method, TransactionId};

use super::describe;

/// See the module.
pub(crate) struct Browser {
    pub(crate) key: SessionKey,
    pub(crate) address: SocketAddr,
    pub(crate) ice: IceCredentials,
    pub(crate) ufrag: String,
    keys: Keys,
    outbound: Outbound,
    inbound: Inbound,
    /// Index of the last packet sent, by SSRC.
    sent: HashMap<u32, u64>,
    checks: u64,
    /// STUN answers.
    pub(crate) answers: Vec<Vec<u8>>,
    /// Decrypted packets, with the time they came.
    pub(crate) rtp: Vec<(Instant, Vec<u8>)>,
    /// Decrypted compounds.
    pub(crate) rtcp: Vec<(Instant, Vec<u8>)>,
    pub(crate) dtls: Vec<Vec<u8>>,
}

fn master(seed: u8) -> Master {
    let mut master = Master::default();
    master.key[..16].fill(seed);
    master.salt[..12].fill(seed ^ 0x55);
    master
}

impl Browser {
    pub(crate) fn new(key: u64, address: SocketAddr) -> Self {
        let keys = Keys {
            profile: Profile::AeadAes128Gcm,
            local: master(key as u8 | 0x80),
            remote: master(key as u8 & 0x7F),
        };
        Self {
            key: SessionKey(key),
            address,
            ice: credentials(key, 0),
            ufrag: format!("remo{key}"),
            outbound: Outbound::new(&keys),
            inbound: Inbound::new(&keys),
            keys,
            sent: HashMap::new(),
            checks: 0,
            answers: Vec::new(),
            rtp: Vec::new(),
            rtcp: Vec::new(),
            dtls: Vec::new(),
        }
    }

    /// How the forwarder is told of it.
    pub(crate) fn session(&self) -> SessionConfig {
        SessionConfig {
            key: self.key,
            transport: Transport::Ice {
                local: self.ice.clone(),
                remote_ufrag: Some(self.ufrag.as_str().into()),
            },
            extensions: describe::extensions(),
            cname: "forebay".into(),
            transport_cc: true,
        }
    }

    /// The keys as the forwarder gets them.
    pub(crate) fn server_keys(&self) -> Keys {
        Keys {
            profile: self.keys.profile,
            local: self.keys.remote.clone(),
            remote: self.keys.local.clone(),
        }
    }

    /// A check with the present credentials.
    pub(crate) fn check(&mut self, nominate: bool) -> Vec<u8> {
        self.check_with(&self.ice.clone(), nominate)
    }

    /// A check with these credentials.
    pub(crate) fn check_with(&mut self, ice: &IceCredentials, nominate: bool) -> Vec<u8> {
        let username = format!("{}:{}", ice.ufrag, self.ufrag);
        self.checks += 1;
        check(self.checks, &username, &ice.password, |builder| {
            let _ = builder.push(AttributeType::ICE_CONTROLLING, &[7; 8]);
            if nominate {
                let _ = builder.push_empty(AttributeType::USE_CANDIDATE);
            }
        })
    }

    /// Protects a packet, whose SSRC's sequence numbers start below 2^15.
    pub(crate) fn seal_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        let view = rtp::Packet::parse(packet).unwrap();
        let last = self
            .sent
            .entry(view.ssrc())
            .or_insert_with(|| u64::from(view.sequence()));
        let ahead = view.sequence().wrapping_sub(*last as u16) as i16;
        let index = last.checked_add_signed(i64::from(ahead)).unwrap();
        *last = (*last).max(index);
        let mut buffer = vec![0; packet.len() + Outbound::RTP_OVERHEAD];
        buffer[..packet.len()].copy_from_slice(packet);
        let len = self
            .outbound
            .protect_rtp(&mut buffer, view.header_len(), packet.len(), index)
            .unwrap();
        buffer.truncate(len);
        buffer
    }

    pub(crate) fn seal_rtcp(&mut self, compound: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; compound.len() + Outbound::RTCP_OVERHEAD];
        buffer[..compound.len()].copy_from_slice(compound);
        let len = self
            .outbound
            .protect_rtcp(&mut buffer, compound.len())
            .unwrap();
        buffer.truncate(len);
        buffer
    }

    /// A datagram comes; what cannot be decrypted fails the test.
    pub(crate) fn deliver(&mut self, now: Instant, datagram: &[u8]) {
        let mut packet = datagram.to_vec();
        match Protocol::of(datagram) {
            Protocol::Stun => self.answers.push(packet),
            Protocol::Dtls => self.dtls.push(packet),
            Protocol::Rtp => {
                let header = rtp::Packet::parse_protected(datagram).unwrap().header_len();
                let (len, _) = self
                    .inbound
                    .unprotect_rtp(now, &mut packet, header)
                    .expect("an SRTP packet is refused");
                packet.truncate(len);
                self.rtp.push((now, packet));
            }
            Protocol::Rtcp => {
                let len = self
                    .inbound
                    .unprotect_rtcp(now, &mut packet)
                    .expect("an SRTCP packet is refused");
                packet.truncate(len);
                self.rtcp.push((now, packet));
            }
            other => panic!("a {other:?} datagram was sent"),
        }
    }
}

/// Credentials of a session, `generation` rising with restarts.
pub(crate) fn credentials(key: u64, generation: u64) -> IceCredentials {
    IceCredentials {
        ufrag: format!("loca{key}g{generation}").into(),
        password: format!("password0123456789ab{key}g{generation}").into(),
    }
}

/// A check with any attributes; PRIORITY is there already.
pub(crate) fn check(
    id: u64,
    username: &str,
    password: &str,
    more: impl FnOnce(&mut Builder<'_>),
) -> Vec<u8> {
    let mut transaction = [0; 12];
    transaction[4..].copy_from_slice(&id.to_be_bytes());
    let mut buffer = vec![0; 512];
    let mut builder = Builder::new(
        &mut buffer,
        Class::Request,
        Method::BINDING,
        TransactionId(transaction),
    )
    .unwrap();
    builder
        .push(AttributeType::USERNAME, username.as_bytes())
        .unwrap();
    builder
        .push_u32(AttributeType::PRIORITY, 0x6e00_01ff)
        .unwrap();
    more(&mut builder);
    let mac = mac(password, &builder.integrity_input());
    builder.push_integrity(&mac).unwrap();
    builder.push_fingerprint().unwrap();
    let len = builder.len();
    buffer.truncate(len);
    buffer
}

/// HMAC-SHA1 as a client computes it.
pub(crate) fn mac(password: &str, input: &forebay_wire::stun::IntegrityInput<'_>) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(&input.header);
    context.update(input.body);
    context.sign().as_ref().try_into().unwrap()
}
