//! `gateway healthcheck`: asks a process of the same environment whether it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::AdminError;

/// The longest wait for the answer; container engines usually allow a few seconds.
const LIMIT: Duration = Duration::from_secs(3);

/// Asks `/readyz` of the ops listener at `address` and gives its answer.
///
/// # Errors
/// [`AdminError::NotReady`] with what it says, or why it says nothing.
pub async fn check(address: SocketAddr) -> Result<String, AdminError> {
    let not_ready = |error: reqwest::Error| AdminError::NotReady(error.without_url().to_string());
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().map_err(not_ready)?;
    let url = format!("http://{}/readyz", reachable(address));
    let response = client.get(url).send().await.map_err(not_ready)?;
    let ready = response.status().is_success();
    let answer = response.text().await.map_err(not_ready)?.trim_end().to_owned();
    if ready { Ok(answer) } else { Err(AdminError::NotReady(answer)) }
}

/// Where a listener on every address of the machine can be reached from within it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn a_listener_on_every_address_is_asked_at_loopback() {
        let cases = [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.7:1", "10.0.0.7:1"),
            ("127.0.0.1:2", "127.0.0.1:2"),
        ];
        for (listener, asked) in cases {
            assert_eq!(reachable(listener.parse().unwrap()).to_string(), asked);
        }
    }
}
