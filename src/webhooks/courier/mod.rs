//! One attempt: sign, send, read the beginning of the answer, all within one time limit.

#[cfg(test)]
mod rebinding_tests;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use reqwest::dns::Resolve;
use reqwest::header::{CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use crate::config::{Config, Environment};
use crate::runtime::clock::Clock;
use crate::runtime::secrets::SecretKey;
use crate::store::webhooks::{Claim, secret_context};
use crate::webhooks::address::is_allowed;
use crate::webhooks::answer::{Answer, Failure, KEPT_BYTES, retry_after, storable};
use crate::webhooks::resolver::{AddressRefused, PublicOnly, System};
use crate::webhooks::signature::{SigningKey, sign};
use crate::wiring::StartError;

const USER_AGENT: &str = concat!("Gatepost/", env!("CARGO_PKG_VERSION"));
/// The most that name, TCP and TLS may take: an endpoint that cannot be reached is known sooner than one that is slow.
const MOST_CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: below the usual limits of servers, so that ours is closed first.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// Sends webhooks.
pub(super) struct Courier {
    client: Client,
    allowed: Arc<[IpNet]>,
    https_only: bool,
    timeout: Duration,
    secret_key: SecretKey,
    clock: Clock,
}

/// What came of an exchange so far.
#[derive(Default)]
struct Heard {
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
    ending: Option<Failure>,
}

impl Courier {
    /// A courier that keeps at most `connections` idle connections to an endpoint.
    ///
    /// # Errors
    /// [`StartError::Refused`] when TLS is not set up.
    pub(super) fn new(config: &Config, clock: Clock, connections: usize) -> Result<Self, StartError> {
        Self::with_resolver(config, clock, connections, System)
    }

    /// As [`Self::new`], with names resolved by `resolver`, whose answers are judged like the system's.
    fn with_resolver(
        config: &Config,
        clock: Clock,
        connections: usize,
        resolver: impl Resolve + 'static,
    ) -> Result<Self, StartError> {
        // Without it, reqwest would panic.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(StartError::Refused(
                "webhooks need TLS, and no provider of it is installed".to_owned(),
            ));
        }
        let allowed: Arc<[IpNet]> = config.webhook_allow.as_slice().into();
        let client = Client::builder()
            .http1_only()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(USER_AGENT)
            .dns_resolver(PublicOnly { resolver, allowed: Arc::clone(&allowed) })
            .connect_timeout(MOST_CONNECT.min(config.webhook_timeout))
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()
            .map_err(|error| StartError::Refused(format!("webhooks cannot be sent: {error}")))?;
        Ok(Self {
            client,
            allowed,
            https_only: config.environment == Environment::Production,
            timeout: config.webhook_timeout,
            secret_key: config.secret_key.clone(),
            clock,
        })
    }

    /// Sends one webhook and says how it went, in little more than the time limit at most.
    pub(super) async fn send(&self, claim: &Claim) -> Answer {
        let began = Instant::now();
        let request = match self.request(claim) {
            Ok(request) => request,
            Err(failure) => return Answer::none(failure, began.elapsed()),
        };
        // What was heard before the time ran out (a status, say) is kept.
        let mut heard = Heard { ending: Some(Failure::Timeout), ..Heard::default() };
        if let Ok(ending) = tokio::time::timeout(self.timeout, self.exchange(request, &mut heard)).await {
            heard.ending = ending.err();
        }
        Answer {
            duration: began.elapsed(),
            status: heard.status,
            failure: heard.status.and_then(Failure::of_status).or(heard.ending),
            retry_after: heard.retry_after,
            text: storable(&heard.body),
        }
    }

    fn request(&self, claim: &Claim) -> Result<RequestBuilder, Failure> {
        let url = self.checked(&claim.url)?;
        let keys = self.signing_keys(claim)?;
        let now = self.clock.now();
        let id = claim.event.event_id.to_string();
        let payload = claim.event.payload();
        let signature = sign(&keys, &id, now, &payload);
        let header = |text: &str| -> Result<HeaderValue, InvalidHeaderValue> { text.parse() };
        let (Ok(id), Ok(signature)) = (header(&id), header(&signature)) else { return Err(Failure::Secret) };
        Ok(self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.as_second())
            .header("webhook-signature", signature)
            .body(payload))
    }

    /// The URL, if webhooks may be sent there as far as can be said before its name is resolved. The parser has
    /// brought every spelling of an IP address (`0x7f.1`, `2130706433`) into the usual one.
    fn checked(&self, url: &str) -> Result<Url, Failure> {
        let url = Url::parse(url).map_err(|_| Failure::Url)?;
        match url.scheme() {
            "https" => {}
            "http" if !self.https_only => {}
            "http" => return Err(Failure::InsecureUrl),
            _ => return Err(Failure::Url),
        }
        let host = url.host_str().ok_or(Failure::Url)?;
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) if !is_allowed(address, &self.allowed) => Err(Failure::Address),
            // A name: judged by the resolver.
            Ok(_) | Err(_) => Ok(url),
        }
    }

    fn signing_keys(&self, claim: &Claim) -> Result<Vec<SigningKey>, Failure> {
        let context = secret_context(claim.key.account_id, claim.key.endpoint_id);
        let open = |sealed: &[u8]| -> Option<SigningKey> {
            SigningKey::parse(&self.secret_key.open(&context, sealed).ok()?)
        };
        let current = open(&claim.secret).ok_or(Failure::Secret)?;
        let previous = claim.previous_secret.as_deref().and_then(open);
        Ok([Some(current), previous].into_iter().flatten().collect())
    }

    async fn exchange(&self, request: RequestBuilder, heard: &mut Heard) -> Result<(), Failure> {
        let mut response = request.send().await.map_err(|error| cause(&error))?;
        heard.status = Some(response.status());
        heard.retry_after = retry_after(response.headers(), self.clock.now());
        while heard.body.len() < KEPT_BYTES
            && let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))?
        {
            let room = KEPT_BYTES - heard.body.len();
            heard.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(())
    }
}

fn cause(error: &reqwest::Error) -> Failure {
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(cause) = source {
        if cause.is::<AddressRefused>() {
            return Failure::Address;
        }
        source = cause.source();
    }
    if error.is_timeout() {
        Failure::Timeout
    } else if error.is_dns() {
        Failure::Name
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Broken
    }
}
