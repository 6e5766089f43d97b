//! A dimpl client and an association of ours, joined by a path in virtual
//! time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::certificate::{calculate_fingerprint, generate_self_signed_certificate};
use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};
use forebay_media::srtp::{Keys, Profile};
use forebay_runtime::dtls::{Association, Fingerprint, Identity, News, Reaction, Terms};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Version {
    V12,
    V13,
    Auto,
}

pub(crate) struct Client {
    pub dtls: Dtls,
    pub fingerprint: Fingerprint,
    pub connected: bool,
    /// Of the server, as the client saw it.
    pub presented: Option<Fingerprint>,
    pub keys: Option<(Vec<u8>, SrtpProfile)>,
    pub closed: bool,
    deadline: Option<Instant>,
}

pub(crate) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    calculate_fingerprint(certificate)
        .try_into()
        .expect("SHA-256")
}

pub(crate) fn certificate() -> DtlsCertificate {
    generate_self_signed_certificate().expect("a certificate")
}

impl Client {
    pub(crate) fn new(version: Version, mtu: usize, now: Instant) -> Self {
        let config = Config::builder()
            .mtu(mtu)
            .flight_start_rto(Duration::from_millis(50))
            .flight_retries(8)
            .build();
        let config = Arc::new(config.expect("valid"));
        let certificate = certificate();
        let fingerprint = fingerprint(&certificate.certificate);
        let mut dtls = match version {
            Version::V12 => Dtls::new_12(config, certificate, now),
            Version::V13 => Dtls::new_13(config, certificate, now),
            Version::Auto => Dtls::new_auto(config, certificate, now),
        };
        dtls.set_active(true);
        Self {
            dtls,
            fingerprint,
            connected: false,
            presented: None,
            keys: None,
            closed: false,
            deadline: Some(now),
        }
    }

    pub(crate) fn poll(&mut self) -> Vec<Box<[u8]>> {
        let mut buffer = [0; 2048];
        let mut out = Vec::new();
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => out.push(packet.into()),
                Output::Connected => self.connected = true,
                Output::PeerCert(der) => self.presented = Some(fingerprint(der)),
                Output::KeyingMaterial(material, profile) => {
                    self.keys = Some((material.to_vec(), profile));
                }
                Output::CloseNotify => self.closed = true,
                Output::Timeout(at) => {
                    self.deadline = Some(at);
                    return out;
                }
                _ => {}
            }
        }
    }

    pub(crate) fn timeout(&mut self, now: Instant) -> Vec<Box<[u8]>> {
        self.dtls.handle_timeout(now).expect("the client goes on");
        self.poll()
    }

    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Vec<Box<[u8]>> {
        self.dtls.handle_timeout(now).expect("the client goes on");
        self.dtls
            .handle_packet(datagram)
            .expect("the client goes on");
        self.poll()
    }

    /// Whether both ends derived the same.
    pub(crate) fn agrees(&self, keys: &Keys) -> bool {
        let Some((material, profile)) = &self.keys else {
            return false;
        };
        let ours = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
            SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
            SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
            _ => return false,
        };
        let (key, salt) = (ours.key_len(), ours.salt_len());
        let flat = [
            &keys.remote.key[..key],
            &keys.local.key[..key],
            &keys.remote.salt[..salt],
            &keys.local.salt[..salt],
        ]
        .concat();
        ours == keys.profile && flat == *material
    }
}

/// What happens to the datagram of this number, both ways counted together.
pub(crate) enum Fate {
    Arrives,
    Lost,
    Twice,
    /// After so many others.
    Late(usize),
}

pub(crate) struct Meeting {
    pub client: Client,
    pub ours: Association,
    pub our_fingerprint: Fingerprint,
    pub news: Vec<News>,
    pub now: Instant,
    /// Largest datagram of ours.
    pub largest: usize,
    to_ours: VecDeque<Box<[u8]>>,
    to_client: VecDeque<Box<[u8]>>,
    count: usize,
}

impl Meeting {
    pub(crate) fn new(version: Version) -> Self {
        Self::with(version, 1200, Some)
    }

    pub(crate) fn with(
        version: Version,
        mtu: usize,
        expected: impl FnOnce(Fingerprint) -> Option<Fingerprint>,
    ) -> Self {
        let now = Instant::now();
        let client = Client::new(version, mtu, now);
        let identity = Arc::new(Identity::new(now).expect("a certificate"));
        let our_fingerprint = identity.fingerprint();
        let expected = expected(client.fingerprint);
        Self {
            client,
            ours: Association::new(Terms::new().expect("usable"), identity, expected),
            our_fingerprint,
            news: Vec::new(),
            now,
            largest: 0,
            to_ours: VecDeque::new(),
            to_client: VecDeque::new(),
            count: 0,
        }
    }

    pub(crate) fn take(&mut self, reaction: Reaction, fate: &mut impl FnMut(usize) -> Fate) {
        self.news.extend(reaction.news);
        for datagram in reaction.datagrams {
            self.largest = self.largest.max(datagram.len());
            send(&mut self.to_client, datagram, fate, &mut self.count);
        }
    }

    pub(crate) fn sent_by_client(
        &mut self,
        sent: Vec<Box<[u8]>>,
        fate: &mut impl FnMut(usize) -> Fate,
    ) {
        for datagram in sent {
            send(&mut self.to_ours, datagram, fate, &mut self.count);
        }
    }

    /// Runs until nothing is under way and no timer of either is due within
    /// `patience`.
    pub(crate) fn run(&mut self, patience: Duration, mut fate: impl FnMut(usize) -> Fate) {
        let end = self.now + patience;
        let sent = self.client.timeout(self.now);
        self.sent_by_client(sent, &mut fate);
        loop {
            if let Some(datagram) = self.to_ours.pop_front() {
                let reaction = self.ours.receive(self.now, datagram);
                self.take(reaction, &mut fate);
            } else if let Some(datagram) = self.to_client.pop_front() {
                let sent = self.client.receive(self.now, &datagram);
                self.sent_by_client(sent, &mut fate);
            } else {
                let next = [self.client.deadline, self.ours.deadline()];
                let Some(next) = next.into_iter().flatten().min() else {
                    return;
                };
                if next > end {
                    return;
                }
                self.now = next.max(self.now + Duration::from_micros(1));
                let sent = self.client.timeout(self.now);
                self.sent_by_client(sent, &mut fate);
                let reaction = self.ours.timeout(self.now);
                self.take(reaction, &mut fate);
            }
        }
    }

    pub(crate) fn keys(&self) -> Option<&Keys> {
        match self.news.as_slice() {
            [News::Keys(keys)] => Some(keys),
            _ => None,
        }
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.client.connected
            && self.client.presented == Some(self.our_fingerprint)
            && self.keys().is_some_and(|keys| self.client.agrees(keys))
    }
}

fn send(
    queue: &mut VecDeque<Box<[u8]>>,
    datagram: Box<[u8]>,
    fate: &mut impl FnMut(usize) -> Fate,
    count: &mut usize,
) {
    *count += 1;
    match fate(*count - 1) {
        Fate::Arrives => queue.push_back(datagram),
        Fate::Lost => {}
        Fate::Twice => {
            queue.push_back(datagram.clone());
            queue.push_back(datagram);
        }
        Fate::Late(places) => {
            let at = queue.len().saturating_sub(places);
            queue.insert(at, datagram);
        }
    }
}

pub(crate) fn whole(_: usize) -> Fate {
    Fate::Arrives
}
