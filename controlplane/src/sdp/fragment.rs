//! Fragments of a description (`application/trickle-ice-sdpfrag`, RFC 8840 §9)
//! with which WHIP and WHEP clients add candidates or restart ICE.

use super::attributes::{is_ice_characters, printable};
use super::{LocalTransport, MAX, SdpError};
use forebay_ipc::limits;

/// A parsed fragment. Candidates are not kept: we answer checks, we send none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The ICE session it belongs to, or wants to begin. A fragment that only
    /// adds candidates may leave it out.
    pub ufrag: Option<String>,
}

impl Fragment {
    /// Reads a fragment of at most [`MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX {
            return Err(SdpError::TooMany("bytes"));
        }
        let malformed = |what: &str| SdpError::Malformed(what.to_owned());
        let (mut ufrag, mut password) = (None, false);
        let mut lines = 0;
        for line in text.lines().filter(|line| !line.is_empty()) {
            lines += 1;
            let (kind, value) = line
                .split_once('=')
                .filter(|(kind, value)| kind.len() == 1 && printable(value))
                .ok_or_else(|| malformed("a line is not type=value"))?;
            match (kind, value.split_once(':')) {
                ("a", Some(("ice-ufrag", value))) => {
                    if !(4..=limits::UFRAG).contains(&value.len()) || !is_ice_characters(value) {
                        return Err(malformed("ice-ufrag"));
                    }
                    // One transport: every section repeats the same.
                    match &ufrag {
                        Some(known) if known != value => return Err(malformed("two ice-ufrag")),
                        _ => ufrag = Some(value.to_owned()),
                    }
                }
                ("a", Some(("ice-pwd", value))) => {
                    if !(22..=256).contains(&value.len()) || !is_ice_characters(value) {
                        return Err(malformed("ice-pwd"));
                    }
                    password = true;
                }
                ("a" | "m" | "c", _) => {}
                _ => return Err(malformed("only a=, m= and c= belong in a fragment")),
            }
        }
        if lines == 0 {
            return Err(malformed("it is empty"));
        }
        if ufrag.is_some() != password {
            return Err(malformed("ice-ufrag and ice-pwd belong together"));
        }
        Ok(Self { ufrag })
    }
}

/// What answers an ICE restart (RFC 9725 §4.3.3). Our candidates stay what
/// they were in the first answer.
pub fn restarted(local: &LocalTransport) -> String {
    format!(
        "a=ice-lite\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
        local.ufrag, local.password
    )
}
