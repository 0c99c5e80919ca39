//! Places that tenants share, as many as a worker has.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::fair::Shares;

/// Places of one kind; cloning shares them.
#[derive(Clone)]
pub(super) struct Places {
    count: usize,
    shares: Arc<Mutex<Shares>>,
    freed: Arc<Notify>,
}

/// A place, given back when dropped.
pub(super) struct Place {
    places: Places,
    account_id: i64,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self { count, shares: Arc::default(), freed: Arc::default() }
    }

    /// A place, unless the account has its share of them.
    pub(super) fn take(&self, account_id: i64) -> Option<Place> {
        let entered = self.change(|shares| shares.enter(account_id, self.count, self.count));
        entered.then(|| Place { places: self.clone(), account_id })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.change(|shares| shares.taken())
    }

    /// Returns when one was given back since the last time.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shares) -> T) -> T {
        // Each change leaves the counts whole, so they are good after a panic, too.
        change(&mut self.shares.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.change(|shares| shares.leave(self.account_id));
        self.places.freed.notify_one();
    }
}
