//! Clients of other making, over real sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use forebay_media::SessionKey;
use forebay_media::srtp::{Keys, Profile};
use forebay_runtime::dtls::{Deliver, Fingerprint, Handshakes, Outcome, Settings};
use webrtc_dtls::config::{Config, ExtendedMasterSecretType};
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::crypto::Certificate;
use webrtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use webrtc_util_of_dtls::KeyingMaterialExporter;

use crate::peer::fingerprint;

const SESSION: SessionKey = SessionKey(77);
const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// One session behind a socket of its own.
struct Server {
    port: u16,
    news: Receiver<Outcome>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(expected: Fingerprint) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = socket.local_addr().expect("bound").port();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("settable");
        let (sender, outcomes) = unbounded();
        let deliver: Deliver = Arc::new(move |_, outcome| {
            let _ = sender.send(outcome);
            Ok(())
        });
        let handshakes = Handshakes::start(Settings::default(), deliver).expect("started");
        handshakes.set(SESSION, 0, Some(expected)).expect("room");
        let (tell, news) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            let entrance = handshakes.entrance();
            let mut peer = None;
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    peer = Some(from);
                    entrance.put(SESSION, from.ip(), buffer[..len].into());
                    std::thread::sleep(Duration::from_millis(5));
                }
                for outcome in outcomes.try_iter() {
                    if let Outcome::Send { datagrams, .. } = outcome {
                        for datagram in datagrams {
                            let peer = peer.expect("it spoke first");
                            let _ = socket.send_to(&datagram, peer);
                        }
                    } else {
                        let _ = tell.send(outcome);
                    }
                }
            }
        });
        Self { port, news, stop }
    }

    fn keys(&self) -> Keys {
        match self.news.recv_timeout(Duration::from_secs(10)) {
            Ok(Outcome::Keys { keys, .. }) => keys,
            other => unreachable!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Client key, server key, client salt, server salt.
fn material(keys: &Keys) -> Vec<u8> {
    let (key, salt) = (keys.profile.key_len(), keys.profile.salt_len());
    [
        &keys.remote.key[..key],
        &keys.local.key[..key],
        &keys.remote.salt[..salt],
        &keys.local.salt[..salt],
    ]
    .concat()
}

#[tokio::test]
async fn webrtc_dtls() {
    // Its rustls is ours, with a second provider compiled in: it would not
    // know which to take.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for (offered, profile) in [
        (
            vec![
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            ],
            Profile::AeadAes128Gcm,
        ),
        (
            vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80],
            Profile::AesCm128HmacSha1_80,
        ),
    ] {
        let certificate =
            Certificate::generate_self_signed(vec!["peer".to_owned()]).expect("a certificate");
        let server = Server::start(fingerprint(&certificate.certificate[0]));
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0")
            .await
            .expect("a socket");
        socket
            .connect(("127.0.0.1", server.port))
            .await
            .expect("loopback");
        let config = Config {
            certificates: vec![certificate],
            srtp_protection_profiles: offered,
            extended_master_secret: ExtendedMasterSecretType::Require,
            insecure_skip_verify: true,
            ..Config::default()
        };
        let connection = DTLSConn::new(Arc::new(socket), config, true, None)
            .await
            .expect("a handshake");
        let keys = server.keys();
        assert_eq!(keys.profile, profile);
        let len = 2 * (profile.key_len() + profile.salt_len());
        let exported = connection
            .connection_state()
            .await
            .export_keying_material(LABEL, &[], len)
            .await
            .expect("connected");
        assert_eq!(exported, material(&keys));
        connection.close().await.expect("open");
        let closed = server.news.recv_timeout(Duration::from_secs(5));
        assert_eq!(closed, Ok(Outcome::Closed { session: SESSION }));
    }
}

/// Openssl's client, with a certificate of a new key.
fn openssl(key: &[&str], offered: &str, profile: Profile) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-subj", "/CN=x", "-newkey"])
        .args(key)
        .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "needs openssl");
    let der = Command::new("openssl")
        .args(["x509", "-outform", "DER", "-in", &path("cert.pem")])
        .output()
        .expect("ran above");
    let server = Server::start(fingerprint(&der.stdout));
    let len = 2 * (profile.key_len() + profile.salt_len());
    let mut client = Command::new("openssl")
        .args(["s_client", "-dtls1_2", "-use_srtp", offered])
        .args(["-cert", &path("cert.pem"), "-key", &path("key.pem")])
        .args(["-keymatexport", LABEL, "-keymatexportlen"])
        .arg(len.to_string())
        .arg("-connect")
        .arg(format!("127.0.0.1:{}", server.port))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ran above");
    let keys = server.keys();
    assert_eq!(keys.profile, profile);
    let lines = BufReader::new(client.stdout.take().expect("piped")).lines();
    let exported = lines
        .map_while(Result::ok)
        .find_map(|line| {
            let text = line.trim().strip_prefix("Keying material: ")?;
            Some(text.to_owned())
        })
        .expect("printed");
    let ours = material(&keys);
    let ours: String = ours.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(exported, ours);
    // "Q" alone on a line ends it, with close_notify.
    let mut input = client.stdin.take().expect("piped");
    input.write_all(b"Q\n").expect("it reads");
    let closed = server.news.recv_timeout(Duration::from_secs(5));
    assert_eq!(closed, Ok(Outcome::Closed { session: SESSION }));
    drop(input);
    let end = Instant::now() + Duration::from_secs(5);
    while client.try_wait().expect("ours").is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = client.kill();
    let _ = client.wait();
}

const P256: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn openssl_of_every_profile() {
    for (offered, profile) in [
        (
            "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM",
            Profile::AeadAes128Gcm,
        ),
        (
            "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM",
            Profile::AeadAes256Gcm,
        ),
        ("SRTP_AES128_CM_SHA1_80", Profile::AesCm128HmacSha1_80),
    ] {
        openssl(&P256, offered, profile);
    }
}

/// As GStreamer's webrtcbin does.
#[test]
fn openssl_with_an_rsa_certificate() {
    let offered = "SRTP_AEAD_AES_128_GCM";
    openssl(&["rsa:2048"], offered, Profile::AeadAes128Gcm);
}
