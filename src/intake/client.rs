//! Which client a request comes from: the peer, or whom the operator's own proxies say it is.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The client's address. Only a trusted peer's `X-Forwarded-For` is read, from its end, where that peer wrote; the last
/// address in it that is no trusted proxy's is the client. What stands before it the client may have written.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut client = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let mut named = lines.iter().flat_map(|line| line.rsplit(','));
    while is_trusted(client) {
        match named.next().and_then(|name| name.trim().parse::<IpAddr>().ok()) {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::{HeaderMap, IpAddr, IpNet, address};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8"].into_iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_proxies_of_ours_are_believed_and_only_what_they_wrote() {
        for (peer, lines, expected) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1", "2001:db8::7", "fd00::2 ,10.0.0.3"], "2001:db8::7"),
            ("10.0.0.1", &["10.0.0.9"], "10.0.0.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, nobody"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    proptest! {
        #[test]
        fn a_stranger_is_never_believed(peer in any::<u32>(), line in "[ -~]{0,80}") {
            let peer = IpAddr::from((peer | 0x8000_0000).to_be_bytes());
            prop_assert_eq!(client(&peer.to_string(), &[&line]), peer.to_string());
        }

        #[test]
        fn what_a_client_writes_before_the_proxys_word_changes_nothing(line in "[ -~\u{80}-\u{ff}]{0,80}") {
            prop_assert_eq!(client("10.0.0.1", &[&line, "198.51.100.7"]), "198.51.100.7");
            prop_assert_eq!(client("10.0.0.1", &[&format!("{line}, 198.51.100.7")]), "198.51.100.7");
        }
    }
}
