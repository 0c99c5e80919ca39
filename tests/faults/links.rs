//! The network between every two parts, each piece of it breakable by itself.

use std::net::SocketAddr;

use crate::support::proxy::Proxy;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    ClientGateway,
    ProviderGateway,
    GatewayPostgres,
    GatewayRabbitMq,
    DeliverPostgres,
    DeliverRabbitMq,
    DeliverProvider,
    NotifyPostgres,
    NotifyRabbitMq,
    NotifyCustomer,
    SweepPostgres,
    SweepRabbitMq,
}

impl Link {
    pub const ALL: [Self; 12] = [
        Self::ClientGateway,
        Self::ProviderGateway,
        Self::GatewayPostgres,
        Self::GatewayRabbitMq,
        Self::DeliverPostgres,
        Self::DeliverRabbitMq,
        Self::DeliverProvider,
        Self::NotifyPostgres,
        Self::NotifyRabbitMq,
        Self::NotifyCustomer,
        Self::SweepPostgres,
        Self::SweepRabbitMq,
    ];
}

/// A proxy for each link.
pub struct Links(Vec<Proxy>);

/// What is at the ends of the links.
pub struct Ends {
    pub gateway: SocketAddr,
    pub postgres: SocketAddr,
    pub rabbitmq: SocketAddr,
    pub provider: SocketAddr,
    pub customer: SocketAddr,
    /// The port where the provider believes the gateway to be.
    pub callback_port: u16,
}

impl Links {
    /// All of them, working.
    pub async fn between(ends: &Ends) -> Self {
        let mut proxies = Vec::new();
        for link in Link::ALL {
            proxies.push(match link {
                Link::ClientGateway => Proxy::start(ends.gateway).await,
                Link::ProviderGateway => Proxy::start_at(ends.callback_port, ends.gateway).await,
                Link::GatewayPostgres
                | Link::DeliverPostgres
                | Link::NotifyPostgres
                | Link::SweepPostgres => Proxy::start(ends.postgres).await,
                Link::GatewayRabbitMq
                | Link::DeliverRabbitMq
                | Link::NotifyRabbitMq
                | Link::SweepRabbitMq => Proxy::start(ends.rabbitmq).await,
                Link::DeliverProvider => Proxy::start(ends.provider).await,
                Link::NotifyCustomer => Proxy::start(ends.customer).await,
            });
        }
        Self(proxies)
    }

    /// Where that link begins.
    pub fn address(&self, link: Link) -> SocketAddr {
        self.0[link as usize].address()
    }

    /// The proxy of that link.
    pub fn of(&mut self, link: Link) -> &mut Proxy {
        &mut self.0[link as usize]
    }

    /// All work again.
    pub async fn heal(&mut self) {
        for proxy in &mut self.0 {
            proxy.heal().await;
        }
    }
}
