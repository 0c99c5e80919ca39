//! Keys and instances, remembered for a short while.
//!
//! The database announces every change, so a revoked key or a paused instance takes effect within a second; where the
//! announcement is lost, within the entries' short life.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use tokio_util::sync::CancellationToken;

use crate::config::Hidden;
use crate::domain::instance::Provider;
use crate::store::directory::{self as rows, Key};
use crate::store::notices::{self, Notice};
use crate::store::{Pool, StoreError};

/// Most keys and most instances remembered at once.
const CAPACITY: u64 = 100_000;
/// How long it is remembered that there is a key, whatever has become of it.
const RIGHT: Duration = Duration::from_secs(86_400);

/// The cache; cloning shares it.
#[derive(Clone)]
pub struct Directory {
    pool: Pool,
    keys: Cache<Vec<u8>, Option<Arc<Key>>>,
    /// The hashes of keys that were found in the last day, revoked or not.
    right: Cache<Vec<u8>, ()>,
    providers: Cache<(i64, String), Option<Provider>>,
    /// How many changes were announced.
    changes: Arc<AtomicU64>,
}

impl Directory {
    /// An empty cache whose entries live for `life`.
    #[must_use]
    pub fn new(pool: Pool, life: Duration) -> Self {
        let keys = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(life)
            .support_invalidation_closures()
            .build();
        let providers = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(life)
            .support_invalidation_closures()
            .build();
        let right = Cache::builder().max_capacity(CAPACITY).time_to_live(RIGHT).build();
        Self { pool, keys, right, providers, changes: Arc::default() }
    }

    /// Forgets what the database says has changed, until `stop`.
    pub async fn follow(self, url: Hidden, stop: CancellationToken) {
        notices::listen(&url, stop, |notice| self.forget(notice)).await;
    }

    fn forget(&self, notice: Notice) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        let changed = match notice {
            Notice::Everything => None,
            Notice::Changed(account_id) => Some(account_id),
        };
        let forgotten = changed.and_then(|account_id| {
            let of_account = move |_: &Vec<u8>, key: &Option<Arc<Key>>| {
                // An unknown key may be the one that was just made.
                key.as_ref().is_none_or(|key| key.account.account_id == account_id)
            };
            self.keys.invalidate_entries_if(of_account).ok()?;
            self.providers.invalidate_entries_if(move |(of, _), _| *of == account_id).ok()
        });
        if forgotten.is_none() {
            self.keys.invalidate_all();
            self.providers.invalidate_all();
        }
    }

    /// The key with that hash.
    ///
    /// # Errors
    /// [`StoreError`] when it is not remembered and cannot be looked up.
    pub async fn key(&self, hash: Vec<u8>) -> Result<Option<Arc<Key>>, Arc<StoreError>> {
        let look_up = async {
            let found = rows::key(&self.pool.get().await?, &hash).await?.map(Arc::new);
            if found.is_some() {
                self.right.insert(hash.clone(), ()).await;
            }
            Ok(found)
        };
        self.remembered(&self.keys, hash.clone(), look_up).await
    }

    /// Whether there was a key with that hash when it was last looked up; asks nobody.
    #[must_use]
    pub fn was_right(&self, hash: &Vec<u8>) -> bool {
        self.right.contains_key(hash)
    }

    /// The provider of the account's instance of that name, if there is one. Its state is not remembered: the commit
    /// looks at it.
    ///
    /// # Errors
    /// [`StoreError`] when it is not remembered and cannot be looked up.
    pub async fn provider(
        &self,
        account_id: i64,
        instance_id: &str,
    ) -> Result<Option<Provider>, Arc<StoreError>> {
        let look_up = async { rows::provider(&self.pool.get().await?, account_id, instance_id).await };
        self.remembered(&self.providers, (account_id, instance_id.to_owned()), look_up).await
    }

    /// What is remembered under `name`, looked up where nothing is. Those who ask at the same time share one look-up,
    /// so that a crowd at a cold cache does not queue for connections.
    async fn remembered<Name, Found>(
        &self,
        cache: &Cache<Name, Found>,
        name: Name,
        look_up: impl Future<Output = Result<Found, StoreError>>,
    ) -> Result<Found, Arc<StoreError>>
    where
        Name: Hash + Eq + Clone + Send + Sync + 'static,
        Found: Clone + Send + Sync + 'static,
    {
        let before = self.changes.load(Ordering::SeqCst);
        let found = cache.try_get_with_by_ref(&name, look_up).await;
        // What changed while it was looked up may have been announced before it was there to be forgotten.
        if self.changes.load(Ordering::SeqCst) != before {
            cache.invalidate(&name).await;
        }
        found
    }
}
