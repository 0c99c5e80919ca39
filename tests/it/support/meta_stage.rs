//! A customer with a number of Meta's, a provider that speaks Meta's wire, and everything at work between them.

use tokio_postgres::Client;

use super::process::Process;
use super::provider::Provider;
use super::receiver::Receiver;
use super::services::Services;
use super::world::{Customer, World};

/// The scene of a test; what a module of tests does with it, it adds itself.
pub struct MetaStage {
    pub world: World,
    pub database: Client,
    pub provider: Provider,
    /// Sends from the instance `meta-line`.
    pub customer: Customer,
    /// Takes the customer's webhooks.
    pub receiver: Receiver,
    _processes: Vec<Process>,
}

impl MetaStage {
    /// With the usual settings.
    pub async fn new(services: &Services) -> Self {
        Self::with(services, &[]).await
    }

    /// With other settings.
    pub async fn with(services: &Services, settings: &[(&str, u32)]) -> Self {
        let mut world = World::new(services).await;
        for (name, value) in settings {
            world.set(name, value);
        }
        let processes = world.start_all().await;
        let (database, provider) = (world.database().await, Provider::start().await);
        let customer = world.customer().await;
        let receiver = world.receiver(&customer).await;
        let customer = provider.meta_instance(&world, &customer, "meta-line").await;
        Self { world, database, provider, customer, receiver, _processes: processes }
    }
}
