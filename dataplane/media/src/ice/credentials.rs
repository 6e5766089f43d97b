//! Fragments, and passwords as precomputed HMAC keys.

use aws_lc_rs::hmac;
use forebay_wire::stun::{Integrity, IntegrityInput};

use crate::describe::IceCredentials;

/// Longest username fragment (RFC 8445 §5.3).
pub(crate) const MAX_UFRAG: usize = 256;

/// One side's credentials as checks towards us carry them.
pub(crate) struct Credentials {
    ufrag: Box<str>,
    remote: Option<Box<str>>,
    key: hmac::Key,
}

fn is_fragment(text: &str) -> bool {
    (4..=MAX_UFRAG).contains(&text.len()) && text.bytes().all(is_ice_char)
}

fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

impl Credentials {
    /// `None` when they are not as RFC 8445 §5.3 has them. The peer's fragment
    /// is only held against its length: a browser's own may contain more.
    pub(crate) fn new(local: &IceCredentials, remote: Option<&str>) -> Option<Self> {
        let password = &local.password;
        let fits = is_fragment(&local.ufrag)
            && (22..=256).contains(&password.len())
            && password.bytes().all(is_ice_char);
        if !fits {
            return None;
        }
        let mut credentials = Self {
            ufrag: local.ufrag.clone(),
            remote: None,
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()),
        };
        credentials.set_remote(remote)?;
        Some(credentials)
    }

    pub(crate) fn set_remote(&mut self, remote: Option<&str>) -> Option<()> {
        if remote.is_some_and(|remote| !(1..=MAX_UFRAG).contains(&remote.len())) {
            return None;
        }
        self.remote = remote.map(Into::into);
        Some(())
    }

    pub(crate) fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Whether these are made of that description.
    pub(crate) fn is(&self, local: &IceCredentials) -> bool {
        *self.ufrag == *local.ufrag
    }

    /// Whether a check's remote part of USERNAME is right.
    pub(crate) fn admits(&self, remote: &[u8]) -> bool {
        match &self.remote {
            Some(expected) => expected.as_bytes() == remote,
            None => !remote.is_empty(),
        }
    }

    /// HMAC-SHA1 of a message (RFC 8489 §14.5).
    pub(crate) fn mac(&self, input: &IntegrityInput<'_>) -> [u8; 20] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&input.header);
        context.update(input.body);
        let tag = context.sign();
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Compares in constant time.
    pub(crate) fn verifies(&self, integrity: &Integrity<'_>) -> bool {
        let mac = self.mac(&integrity.input);
        subtle::ConstantTimeEq::ct_eq(&mac[..], &integrity.mac[..]).into()
    }
}
