//! Other people's SRTP behind one interface.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use forebay_media::srtp::{Master, Profile};

/// Each refusal is `None`.
pub(crate) trait Oracle {
    fn name(&self) -> &'static str;
    fn protect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>>;
    fn unprotect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>>;
    fn protect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>>;
    fn unprotect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>>;
}

pub(crate) fn all(profile: Profile, master: &Master) -> [Box<dyn Oracle>; 3] {
    [
        Box::new(WebRtc::new(profile, master)),
        Box::new(Rtc::new(profile, master)),
        Box::new(LibSrtp::new(profile, master)),
    ]
}

const WINDOW: usize = 960;

struct WebRtc {
    out: webrtc_srtp::context::Context,
    back: webrtc_srtp::context::Context,
}

impl WebRtc {
    fn new(profile: Profile, master: &Master) -> Self {
        use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
        use webrtc_srtp::protection_profile::ProtectionProfile as Theirs;
        let theirs = match profile {
            Profile::AesCm128HmacSha1_80 => Theirs::Aes128CmHmacSha1_80,
            Profile::AeadAes128Gcm => Theirs::AeadAes128Gcm,
            Profile::AeadAes256Gcm => Theirs::AeadAes256Gcm,
        };
        let context = || {
            webrtc_srtp::context::Context::new(
                &master.key[..profile.key_len()],
                &master.salt[..profile.salt_len()],
                theirs,
                Some(srtp_replay_protection(WINDOW)),
                Some(srtcp_replay_protection(WINDOW)),
            )
            .expect("fitting keys")
        };
        Self {
            out: context(),
            back: context(),
        }
    }
}

impl Oracle for WebRtc {
    fn name(&self) -> &'static str {
        "webrtc-srtp"
    }

    fn protect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.out.encrypt_rtp(packet).ok().map(Into::into)
    }

    fn unprotect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.back.decrypt_rtp(packet).ok().map(Into::into)
    }

    fn protect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.out.encrypt_rtcp(packet).ok().map(Into::into)
    }

    fn unprotect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.back.decrypt_rtcp(packet).ok().map(Into::into)
    }
}

struct Rtc {
    out: rtc_srtp::context::Context,
    back: rtc_srtp::context::Context,
}

impl Rtc {
    fn new(profile: Profile, master: &Master) -> Self {
        use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
        use rtc_srtp::protection_profile::ProtectionProfile as Theirs;
        let theirs = match profile {
            Profile::AesCm128HmacSha1_80 => Theirs::Aes128CmHmacSha1_80,
            Profile::AeadAes128Gcm => Theirs::AeadAes128Gcm,
            Profile::AeadAes256Gcm => Theirs::AeadAes256Gcm,
        };
        let provider = rtc_srtp::crypto::default_provider().expect("a provider");
        let context = || {
            rtc_srtp::context::Context::new(
                &master.key[..profile.key_len()],
                &master.salt[..profile.salt_len()],
                theirs,
                Some(srtp_replay_protection(WINDOW)),
                Some(srtcp_replay_protection(WINDOW)),
                provider.crypto(),
            )
            .expect("fitting keys")
        };
        Self {
            out: context(),
            back: context(),
        }
    }
}

impl Oracle for Rtc {
    fn name(&self) -> &'static str {
        "rtc-srtp"
    }

    fn protect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.out
            .encrypt_rtp(packet)
            .ok()
            .map(|bytes| bytes.to_vec())
    }

    fn unprotect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.back
            .decrypt_rtp(packet)
            .ok()
            .map(|bytes| bytes.to_vec())
    }

    fn protect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.out
            .encrypt_rtcp(packet)
            .ok()
            .map(|bytes| bytes.to_vec())
    }

    fn unprotect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.back
            .decrypt_rtcp(packet)
            .ok()
            .map(|bytes| bytes.to_vec())
    }
}

/// libsrtp in a process of its own: `libsrtp.c`, compiled on first use.
struct LibSrtp {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

fn helper() -> &'static Path {
    static HELPER: OnceLock<std::path::PathBuf> = OnceLock::new();
    HELPER.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/srtp/libsrtp.c");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("libsrtp-oracle-{}", std::process::id()));
        let compiled = Command::new("cc")
            .arg("-O1")
            .arg("-o")
            .arg(&binary)
            .arg(&source)
            .arg("-lsrtp2")
            .status()
            .is_ok_and(|status| status.success());
        assert!(
            compiled,
            "cannot compile against libsrtp2: run scripts/install-test-parts"
        );
        binary
    })
}

impl LibSrtp {
    fn new(profile: Profile, master: &Master) -> Self {
        let mut child = Command::new(helper())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("compiled above");
        let mut input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        let number = match profile {
            Profile::AesCm128HmacSha1_80 => 1,
            Profile::AeadAes128Gcm => 2,
            Profile::AeadAes256Gcm => 3,
        };
        let mut setup = vec![number];
        setup.extend(&master.key[..profile.key_len()]);
        setup.extend(&master.salt[..profile.salt_len()]);
        input.write_all(&setup).expect("it reads");
        Self {
            child,
            input: Some(input),
            output,
        }
    }

    fn ask(&mut self, what: u8, packet: &[u8]) -> Option<Vec<u8>> {
        let mut request = vec![what, (packet.len() >> 8) as u8, packet.len() as u8];
        request.extend(packet);
        let input = self.input.as_mut().expect("open until dropped");
        input.write_all(&request).expect("it reads");
        let mut head = [0; 3];
        self.output.read_exact(&mut head).expect("it answers");
        let mut answer = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        self.output.read_exact(&mut answer).expect("it answers");
        (head[0] == 1).then_some(answer)
    }
}

impl Drop for LibSrtp {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

impl Oracle for LibSrtp {
    fn name(&self) -> &'static str {
        "libsrtp"
    }

    fn protect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.ask(b'p', packet)
    }

    fn unprotect_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.ask(b'u', packet)
    }

    fn protect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.ask(b'P', packet)
    }

    fn unprotect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.ask(b'U', packet)
    }
}
