//! JSON Web Tokens of the one kind that is met here: HS256, the compact form, with an end (RFC 7519, RFC 7515).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::secrets::{equal, hmac_sha256};

/// Real ones have about 200 bytes.
const LONGEST: usize = 4096;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

/// Whether `token` is signed with `key` and ended no longer than `leeway` before `now`. The comparison takes the same time
/// wherever the signatures differ. An empty key signs nothing, since anybody could sign with it.
///
/// When it was made does not count: a sender whose clock is fast makes tokens of the future.
#[must_use]
pub fn is_valid(token: &str, key: &[u8], now: Timestamp, leeway: SignedDuration) -> bool {
    if key.is_empty() || token.len() > LONGEST {
        return false;
    }
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Ok(claimed) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    if !equal(&hmac_sha256(key, &[signed.as_bytes()]), &claimed) {
        return false;
    }
    // Only what its owner signed is read.
    let Some((header, claims)) = signed.split_once('.') else { return false };
    let algorithm: Option<Header> = part(header);
    let claims: Option<Claims> = part(claims);
    let ends_at = claims.and_then(|claims| Timestamp::from_second(claims.exp).ok());
    algorithm.is_some_and(|header| header.alg == "HS256")
        && ends_at.is_some_and(|ends_at| now.duration_since(ends_at) <= leeway)
}

fn part<T: for<'a> Deserialize<'a>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jiff::{SignedDuration, Timestamp};
    use serde_json::Value;

    use proptest::prelude::{any, prop_assert, proptest};

    use super::super::secrets::hmac_sha256;

    proptest! {
        #[test]
        fn no_token_makes_it_panic_and_none_that_was_made_up_counts(
            text in r"[ -~]{0,200}|[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{43}",
            key in proptest::collection::vec(any::<u8>(), 0..40), seconds in any::<i32>()
        ) {
            let now = Timestamp::from_second(i64::from(seconds)).unwrap();
            prop_assert!(!is_valid(&text, &key, now, SignedDuration::from_mins(30)));
        }
    }
    use super::is_valid;

    const WIRE: &str = include_str!("../../tests/fixtures/evolution/wire.json");
    const LEEWAY: SignedDuration = SignedDuration::from_mins(30);

    /// The key, the token and its end in the sample.
    fn sample() -> (String, String, i64) {
        let wire: Value = serde_json::from_str(WIRE).expect("JSON");
        let vector = &wire["webhook_jwt_vector"];
        let text = |name: &str| vector[name].as_str().expect("a text").to_owned();
        (text("jwt_key"), text("token"), vector["claims"]["exp"].as_i64().expect("a time"))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn signed(header: &str, claims: &str, key: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(key, &[signed.as_bytes()]));
        format!("{signed}.{signature}")
    }

    #[test]
    fn the_sample_counts_until_its_leeway_ends() {
        let (key, token, ends_at) = sample();
        for (second, expected) in [
            (ends_at - 86_400, true),
            (ends_at, true),
            (ends_at + 1_800, true),
            (ends_at + 1_801, false),
            (ends_at + 86_400, false),
        ] {
            assert_eq!(is_valid(&token, key.as_bytes(), at(second), LEEWAY), expected, "{second}");
        }
        assert!(!is_valid(&token, b"another key", at(ends_at), LEEWAY));
        assert!(!is_valid(&token, b"", at(ends_at), LEEWAY));
    }

    #[test]
    fn every_repeat_of_an_event_comes_within_the_leeway() {
        let (key, token, ends_at) = sample();
        // The longest that the repeats of one event take: the jitter lengthens each pause by a fifth.
        for offset in [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215] {
            let arrives = ends_at - 600 + offset * 12 / 10;
            assert!(is_valid(&token, key.as_bytes(), at(arrives), LEEWAY), "after {offset} s");
        }
    }

    #[test]
    fn what_is_changed_or_of_another_kind_does_not_count() {
        let (key, token, ends_at) = sample();
        let (key, now) = (key.as_bytes(), at(ends_at));
        let counts = |token: &str| is_valid(token, key, now, LEEWAY);
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            // The last letter of a part has bits that mean nothing, and those must be zero.
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            assert!(!counts(&String::from_utf8(bytes).expect("ASCII")), "{place}");
        }
        let claims = format!(r#"{{"exp":{ends_at}}}"#);
        assert!(counts(&signed(r#"{"alg":"HS256"}"#, &claims, key)));
        for (header, claims) in [
            (r#"{"alg":"none"}"#, claims.as_str()),
            (r#"{"alg":"HS512"}"#, &claims),
            (r"{}", &claims),
            (r#"{"alg":"HS256"}"#, r"{}"),
            (r#"{"alg":"HS256"}"#, r#"{"exp":"later"}"#),
            (r#"{"alg":"HS256"}"#, r#"{"exp":9223372036854775807}"#),
            ("", ""),
        ] {
            assert!(!counts(&signed(header, claims, key)), "{header} {claims}");
        }
        for token in ["", ".", "..", "a.b.c", "a.b", &"x.".repeat(5_000), &token[..token.len() - 1]] {
            assert!(!counts(token), "{token:.20}");
        }
    }
}
