//! The product from outside: real processes, a real Postgres, a real RabbitMQ, a real provider and a real webhook
//! receiver. One binary, because each further one would link everything again.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read the clock and the environment where the product may not"
)]

mod architecture;
mod life;
mod support;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use support::services::Services;

/// Tests that are given the shared servers.
macro_rules! with_services {
    ($handle:expr, $services:expr, $($module:ident :: $name:ident),+ $(,)?) => {
        vec![$({
            let (handle, services) = ($handle.clone(), Arc::clone(&$services));
            let name = concat!(stringify!($module), "::", stringify!($name));
            Trial::test(name, move || {
                handle.block_on(async { $module::$name(services.get().await).await });
                Ok(())
            })
        }),+]
    };
}

/// Tests that need nothing.
macro_rules! alone {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),+]
    };
}

/// The shared servers, started with the first test that needs them.
struct Shared(tokio::sync::OnceCell<Services>);

impl Shared {
    async fn get(&self) -> &Services {
        self.0
            .get_or_init(|| async {
                let services = Services::start().await;
                eprintln!("services: {}", services.way());
                services
            })
            .await
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    drop(rustls::crypto::ring::default_provider().install_default());
    let services = Arc::new(Shared(tokio::sync::OnceCell::new()));
    let handle = runtime.handle().clone();
    let mut tests = alone![architecture::floors_point_down, architecture::sql_and_lapin_have_one_home];
    tests.extend(with_services![
        handle,
        services,
        life::life_of_two_messages,
        life::life_of_an_opt_out,
        life::life_has_no_marketing,
    ]);
    let conclusion = libtest_mimic::run(&arguments, tests);
    runtime.block_on(async {
        if let Some(services) = Arc::into_inner(services).and_then(|shared| shared.0.into_inner()) {
            services.stop().await;
        }
    });
    conclusion.exit();
}
