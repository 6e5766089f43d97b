//! A DTLS association that hears a script of datagrams, and its look into
//! ClientHellos: nothing makes keys of what no peer sent.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use forebay_runtime::dtls::client_hello::{Gathering, without_clear_alerts};
use forebay_runtime::dtls::{Association, Identity, News, Terms};

/// The largest datagram a worker hands on.
const LONGEST: usize = 1500;

/// Each datagram is behind its length, two bytes; with the highest bit set
/// time passes first.
pub(crate) fn run(input: &[u8]) {
    static FIXED: OnceLock<(Terms, Arc<Identity>, Instant)> = OnceLock::new();
    let (terms, identity, start) = FIXED.get_or_init(|| {
        let now = Instant::now();
        let identity = Identity::new(now).expect("a certificate");
        (Terms::new().expect("usable"), Arc::new(identity), now)
    });
    let mut association = Association::new(terms.clone(), identity.clone(), Some([1; 32]));
    let mut gathering = Gathering::default();
    let mut now = *start;
    let mut rest = input;
    while let [high, low, after @ ..] = rest {
        let word = u16::from_be_bytes([*high, *low]);
        if word & 0x8000 != 0 {
            now += Duration::from_millis(400);
            let reaction = association.timeout(now);
            check(&reaction.news, &reaction.datagrams);
        }
        let len = usize::from(word & 0x7FFF).min(LONGEST).min(after.len());
        let (datagram, after) = after.split_at(len);
        rest = after;
        hear(&mut gathering, datagram);
        let reaction = association.receive(now, datagram.into());
        check(&reaction.news, &reaction.datagrams);
    }
}

fn hear(gathering: &mut Gathering, datagram: &[u8]) {
    if let Some(kept) = without_clear_alerts(datagram.into()) {
        assert!(kept.len() <= datagram.len());
        assert_eq!(
            without_clear_alerts(kept.clone()).as_ref(),
            Some(&kept),
            "nothing more to take out"
        );
        if let Some((_, datagrams)) = gathering.push(kept) {
            assert!(!datagrams.is_empty() && datagrams.len() <= 16);
        }
    }
}

fn check(news: &[News], datagrams: &[Box<[u8]>]) {
    assert!(
        news.iter().all(|news| matches!(news, News::Failed(_))) && news.len() <= 1,
        "{news:?}"
    );
    assert!(datagrams.iter().all(|datagram| datagram.len() <= 1200));
}
