//! What the processes of one demo share: addresses of their own, secrets made up for this once.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::DemoError;
use crate::config::{AdminConfig, DemoConfig, Environment};
use crate::runtime::secrets::SecretKey;

/// The processes, each with its own health listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Gateway,
    Sandbox,
    Deliver,
    Notify,
    Sweep,
}

/// One demo.
pub struct Setting {
    config: DemoConfig,
    log_filter: String,
    secret_key: String,
    app_secret: String,
    verify_token: String,
    queue_prefix: String,
    /// The business number of this demo's instance; random, because numbers are unique in a database.
    pub phone_number_id: String,
    gateway: SocketAddr,
    sandbox: SocketAddr,
    health: [SocketAddr; 4],
}

impl Role {
    /// Every process, in the order they are started.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::Sandbox, Self::Deliver, Self::Notify, Self::Sweep];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway serve",
            Self::Sandbox => "gateway sandbox",
            Self::Deliver => "deliver",
            Self::Notify => "notify",
            Self::Sweep => "sweep",
        }
    }

    /// The executable's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Gateway | Self::Sandbox => "gateway",
            Self::Deliver | Self::Notify | Self::Sweep => self.name(),
        }
    }
}

impl Setting {
    /// Finds free ports and makes up the secrets.
    pub fn new(config: DemoConfig, log_filter: String) -> Result<Self, DemoError> {
        let [gateway, sandbox, health @ ..] =
            free_addresses::<6>().map_err(|error| DemoError::Io("find free ports".into(), error))?;
        Ok(Self {
            config,
            log_filter,
            secret_key: STANDARD.encode(rand::random::<[u8; 32]>()),
            app_secret: random_hex(),
            verify_token: random_hex(),
            queue_prefix: format!("demo-{}.", random_hex()),
            phone_number_id: rand::random_range(100_000_000_000_000_u64..1_000_000_000_000_000).to_string(),
            gateway,
            sandbox,
            health,
        })
    }

    /// An address of the gateway, for customers and providers.
    pub fn gateway_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }

    /// An address of the sandbox.
    pub fn sandbox_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.sandbox)
    }

    /// Where a process says that it is ready.
    pub fn health_url(&self, role: Role) -> String {
        match self.health_listener(role) {
            Some(address) => format!("http://{address}/readyz"),
            None => self.sandbox_url("/livez"),
        }
    }

    /// The arguments of a process.
    pub fn arguments(&self, role: Role) -> Vec<String> {
        match role {
            Role::Gateway => vec!["serve".to_owned()],
            Role::Sandbox => vec![
                "sandbox".to_owned(),
                format!("--listen={}", self.sandbox),
                format!("--callback-url={}", self.gateway_url("/callbacks/meta")),
            ],
            Role::Deliver | Role::Notify | Role::Sweep => Vec::new(),
        }
    }

    /// The whole environment of a process.
    pub fn environment(&self, role: Role) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("DATABASE_URL", self.config.database_url.0.clone()),
            ("AMQP_URL", self.config.amqp_url.0.clone()),
            ("GATEPOST_ENV", "development".to_owned()),
            ("GATEPOST_LISTEN", self.gateway.to_string()),
            ("GATEPOST_SECRET_KEY", self.secret_key.clone()),
            ("GATEPOST_META_APP_SECRET", self.app_secret.clone()),
            ("GATEPOST_META_VERIFY_TOKEN", self.verify_token.clone()),
            ("GATEPOST_WEBHOOK_ALLOW", "127.0.0.0/8".to_owned()),
            ("GATEPOST_QUEUE_PREFIX", self.queue_prefix.clone()),
            ("RUST_LOG", self.log_filter.clone()),
        ];
        if let Some(address) = self.health_listener(role) {
            variables.push(("GATEPOST_OPS_LISTEN", address.to_string()));
        }
        variables
    }

    /// What the operator's functions need to work with the same database and key.
    pub fn admin(&self) -> AdminConfig {
        AdminConfig {
            database_url: self.config.database_url.clone(),
            secret_key: SecretKey::from_base64(&self.secret_key).expect("made of 32 bytes above"),
            environment: Environment::Development,
        }
    }

    fn health_listener(&self, role: Role) -> Option<SocketAddr> {
        let [gateway, deliver, notify, sweep] = self.health;
        match role {
            Role::Gateway => Some(gateway),
            Role::Sandbox => None,
            Role::Deliver => Some(deliver),
            Role::Notify => Some(notify),
            Role::Sweep => Some(sweep),
        }
    }
}

fn random_hex() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

/// Different ports of loopback that nobody listens on. Somebody else may take one before its process does; then that
/// process says so and ends, and the demo with it.
fn free_addresses<const N: usize>() -> std::io::Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    // All are held until all are known, so that none is given out twice.
    let mut listeners = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Role, Setting, free_addresses};
    use crate::config::{Config, DemoConfig, Hidden};

    #[test]
    fn every_process_can_read_its_settings() {
        let url = |text: &str| Hidden(text.to_owned());
        let config = DemoConfig { database_url: url("postgres://h/d"), amqp_url: url("amqp://h") };
        let setting = Setting::new(config, "warn".into()).unwrap();
        let mut listeners = HashSet::new();
        for role in Role::ALL {
            let variables = setting.environment(role);
            let lookup = |name: &str| {
                variables.iter().find(|(given, _)| *given == name).map(|(_, value)| value.clone())
            };
            let config = Config::read(&lookup).unwrap();
            assert_eq!(config.listen, setting.gateway);
            assert!(config.queue_prefix.starts_with("demo-"));
            assert!(config.ops_listen.is_none_or(|address| listeners.insert(address)), "{role:?}");
        }
        assert_eq!(listeners.len(), 4);
        assert_eq!(setting.phone_number_id.len(), 15);
    }

    #[test]
    fn free_addresses_differ() {
        let addresses = free_addresses::<6>().unwrap();
        assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 6);
    }
}
