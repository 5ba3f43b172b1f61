//! The memory that clients can cause the gateway to hold: its container has 128 MiB.
//!
//! What is held while the gateway waits for a client or for Port is reserved first: bodies of requests, responses that are
//! read whole, and responses that a client does not read as fast as Port sends them.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The memory for the bodies of requests, in KiB.
const REQUESTS: usize = 12 * 1024;
/// The memory for responses, in KiB.
const RESPONSES: usize = 12 * 1024;
/// How much of a request or a response needs no reservation, in bytes: a small call never waits for large ones.
const FREE: usize = 4 * 1024;
/// What a response in progress needs, in KiB: what was read from Port, and what was not yet sent to the client. The buffer for
/// what is read grows up to 408 KiB (`proto::h1::io` of hyper).
const RELAY: usize = 384;
/// How long a request or a response that is read whole waits for memory.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a response that has begun waits for it.
const RELAY_TIMEOUT: Duration = Duration::from_mins(1);
/// A client that has not read for this time loses its connection if another one waits for memory.
const IDLE: Duration = Duration::from_secs(5);
/// How often a waiting client looks for such clients.
const INTERVAL: Duration = Duration::from_secs(1);

/// The memory of all clients.
pub(super) struct Memory {
    requests: Arc<Semaphore>,
    responses: Arc<Semaphore>,
    readers: Mutex<Vec<Weak<Reader>>>,
}

/// Reserved memory. Dropping it frees the memory.
#[derive(Debug, Default)]
pub(super) struct Reserved(Option<OwnedSemaphorePermit>);

/// There is no memory within the time limit.
#[derive(Debug, thiserror::Error)]
#[error("too many large responses at the same time")]
pub(super) struct OutOfMemory;

/// A client that reads a response.
struct Reader {
    /// Since when a part of the response waits for the client.
    waits_since: Mutex<Option<Instant>>,
    connection: CancellationToken,
}

impl Reader {
    fn waits_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waits_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of a response that passes as it arrives.
pub(super) struct Relay {
    memory: Arc<Memory>,
    reader: Arc<Reader>,
    /// The bytes that Port has sent so far.
    received: usize,
    reserved: Option<Reserved>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS)),
            responses: Arc::new(Semaphore::new(RESPONSES)),
            readers: Mutex::default(),
        }
    }
}

impl Memory {
    /// Reserves memory for the body of a request.
    ///
    /// # Errors
    /// When there is none within 10 seconds.
    pub(super) async fn request(&self, length: usize) -> Result<Reserved, OutOfMemory> {
        if length <= FREE {
            return Ok(Reserved(None));
        }
        self.reserve(&self.requests, kibibytes(length), TIMEOUT)
            .await
    }

    /// Reserves memory for a further part of a response that is read whole, of which this much has been read.
    ///
    /// # Errors
    /// As for [`Memory::request`].
    pub(super) async fn whole(&self, read: usize, part: usize) -> Result<Reserved, OutOfMemory> {
        if read + part <= FREE {
            return Ok(Reserved(None));
        }
        self.reserve(&self.responses, kibibytes(part), TIMEOUT)
            .await
    }

    /// Waits for memory. Clients that do not read what is kept for them lose their connections meanwhile.
    async fn reserve(
        &self,
        memory: &Arc<Semaphore>,
        kibibytes: usize,
        limit: Duration,
    ) -> Result<Reserved, OutOfMemory> {
        let permits = u32::try_from(kibibytes).unwrap_or(u32::MAX);
        let mut permit = pin!(Arc::clone(memory).acquire_many_owned(permits));
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(permit) = tokio::time::timeout(INTERVAL, &mut permit).await {
                return permit
                    .map(|permit| Reserved(Some(permit)))
                    .map_err(|_| OutOfMemory);
            }
            self.end_idle_readers();
        }
        Err(OutOfMemory)
    }

    /// A response that passes as it arrives, to a client whose connection ends with `connection`.
    pub(super) fn relay(self: &Arc<Self>, connection: CancellationToken) -> Relay {
        let reader = Arc::new(Reader {
            waits_since: Mutex::default(),
            connection,
        });
        Relay {
            memory: Arc::clone(self),
            reader,
            received: 0,
            reserved: None,
        }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Weak<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connections of clients that do not read.
    fn end_idle_readers(&self) {
        self.readers().retain(|reader| {
            let Some(reader) = reader.upgrade() else {
                return false;
            };
            let is_idle = reader
                .waits_since()
                .is_some_and(|since| since.elapsed() > IDLE);
            if is_idle {
                reader.connection.cancel();
            }
            !is_idle
        });
    }
}

impl Reserved {
    /// Frees what a body of this length does not need.
    pub(super) fn shrink(&mut self, length: usize) {
        let Some(permit) = &mut self.0 else {
            return;
        };
        let needed = if length <= FREE { 0 } else { kibibytes(length) };
        drop(permit.split(permit.num_permits().saturating_sub(needed)));
    }

    /// Adds other reserved memory.
    pub(super) fn add(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(permit), Some(other)) => permit.merge(other),
            (None, other) => self.0 = other,
            (Some(_), None) => {}
        }
    }
}

impl Relay {
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Holds reserved memory until the client has read the response.
    pub(super) fn hold(&mut self, reserved: Reserved) {
        if self.reserved.is_none() {
            self.memory.readers().push(Arc::downgrade(&self.reader));
        }
        self.reserved = Some(reserved);
    }

    /// The client has taken all parts so far. Waits until there is memory for another one.
    ///
    /// # Errors
    /// When there is none within a minute.
    pub(super) async fn next(&mut self) -> Result<(), OutOfMemory> {
        *self.reader.waits_since() = None;
        if self.received > FREE && self.reserved.is_none() {
            let (memory, responses) = (&self.memory, &self.memory.responses);
            let reserved = memory.reserve(responses, RELAY, RELAY_TIMEOUT).await?;
            self.hold(reserved);
        }
        Ok(())
    }

    /// Nothing is held while Port sends nothing.
    pub(super) fn wait_for_port(&mut self) {
        if self.reserved.take().is_some() {
            self.forget();
        }
    }

    /// Port has sent a part.
    pub(super) fn received(&mut self, length: usize) {
        self.received = self.received.saturating_add(length);
    }

    /// Whether the response so far needs no reservation.
    pub(super) fn is_small(&self) -> bool {
        self.received <= FREE
    }

    /// A part waits for the client.
    pub(super) fn passed(&self) {
        *self.reader.waits_since() = Some(Instant::now());
    }

    fn forget(&self) {
        let own = Arc::downgrade(&self.reader);
        self.memory.readers().retain(|reader| !reader.ptr_eq(&own));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.reserved.is_some() {
            self.forget();
        }
    }
}

/// The permits for this number of bytes.
fn kibibytes(length: usize) -> usize {
    length / 1024 + 1
}
