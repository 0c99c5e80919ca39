//! How Evolution servers are asked beside sending.

use std::time::Duration;

use crate::config::Environment;
use crate::domain::instance::Connection;
use crate::domain::status::Report;
use crate::providers::ClientSettings;
use crate::providers::evolution::{CallError, EvolutionClient, Found, Sender, Wanted};
use crate::runtime::secrets::SecretKey;
use crate::store::connections::Server;
use crate::store::senders::token_context;
use crate::wiring::{Parts, StartError};

/// The limit for one question. It is shorter than a send's, because nothing is lost by it.
const CALL_TIME: Duration = Duration::from_secs(5);

/// Asks Evolution servers. Clones share their connections.
#[derive(Clone)]
pub(super) struct Servers {
    client: EvolutionClient,
    secret_key: SecretKey,
    environment: Environment,
}

impl Servers {
    /// # Errors
    /// [`StartError::Refused`] where TLS is not to be had.
    pub(super) fn new(parts: &Parts) -> Result<Self, StartError> {
        let settings = ClientSettings { call_timeout: CALL_TIME, idle_connections: 1 };
        let client =
            EvolutionClient::new(&settings).map_err(|error| StartError::Refused(error.to_string()))?;
        Ok(Self {
            client,
            secret_key: parts.config.secret_key.clone(),
            environment: parts.config.environment,
        })
    }

    /// How the server says that its instance is connected.
    pub(super) async fn connection(&self, server: &Server) -> Result<Connection, &'static str> {
        let key = self.key(server)?;
        self.client.connection_state(&sender(server, &key)).await.map_err(|error| problem(&error))
    }

    /// Whether the server has the message on record.
    pub(super) async fn find(
        &self,
        server: &Server,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Found>, &'static str> {
        let key = self.key(server)?;
        self.client.find(&sender(server, &key), wanted).await.map_err(|error| problem(&error))
    }

    /// Whether the server knows of an acknowledgement of one of these messages.
    pub(super) async fn is_acknowledged(
        &self,
        server: &Server,
        ids: &[String],
    ) -> Result<bool, &'static str> {
        let key = self.key(server)?;
        for id in ids {
            let found =
                self.client.find_by_id(&sender(server, &key), id).await.map_err(|error| problem(&error))?;
            if found.is_some_and(|found| matches!(found.report, Report::Delivered | Report::Read)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn key(&self, server: &Server) -> Result<String, &'static str> {
        if self.environment == Environment::Production && !server.base_url.starts_with("https://") {
            return Err("production allows only https");
        }
        let context = token_context(server.account_id, &server.instance_id);
        let key = self.secret_key.open(&context, &server.token_sealed);
        let key = key.map_err(|_| "the token cannot be decrypted")?;
        Ok(String::from_utf8_lossy(&key).into_owned())
    }
}

fn sender<'a>(server: &'a Server, token: &'a str) -> Sender<'a> {
    Sender { base_url: &server.base_url, instance: &server.provider_instance, token }
}

fn problem(error: &CallError) -> &'static str {
    match error {
        CallError::Unusable => "the address or key is not usable",
        CallError::NoAnswer(reason) => reason,
        CallError::Refused(_) => "the server refuses to say",
    }
}
