//! The PROXY protocol: whatever a connection begins with is read alike in one
//! piece and byte by byte, and a header is never longer than what is there.

use forebay_runtime::front::proxy_protocol::{LONGEST, parse};

pub(crate) fn run(input: &[u8]) {
    let whole = parse(input);
    match whole {
        Ok(Some((length, _))) => {
            assert!((1..=input.len().min(LONGEST)).contains(&length));
            assert_eq!(
                parse(&input[..length]),
                whole,
                "what follows is not looked at"
            );
            assert_eq!(
                parse(&input[..length - 1]),
                Ok(None),
                "every byte is needed"
            );
        }
        // Nobody waits for ever.
        Ok(None) => assert!(input.len() < LONGEST),
        Err(_) => {}
    }
    let mut refused = false;
    for end in 0..=input.len().min(2 * LONGEST) {
        match parse(&input[..end]) {
            Err(_) => refused = true,
            Ok(Some(_)) => {
                assert!(!refused && whole.is_ok_and(|found| found.is_some()));
                return;
            }
            Ok(None) => assert!(!refused, "a refusal is final"),
        }
    }
}
