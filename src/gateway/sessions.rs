//! The sessions of agents, and their counterparts at Port.
//!
//! The agent keeps the session ID of its first `initialize`. If Port forgets the session, the gateway opens
//! another one with the agent's own bytes, and the agent does not notice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The maximum number of sessions. The oldest is forgotten first.
const MAX_SESSIONS: usize = 256;

/// The maximum length of a body of `initialize` that is kept, in bytes.
const MAX_INITIALIZE: usize = 16 * 1024;

/// A session of an agent.
pub(super) struct Session {
    /// The number of the session in the audit. The ID itself is a secret of the agent.
    pub(super) label: String,
    /// The body of `initialize`. `None` if it is too large to keep.
    pub(super) initialize: Option<Bytes>,
    /// The headers of `initialize` that are forwarded.
    pub(super) headers: HeaderMap,
    /// The current session ID at Port. Held while a new session is opened.
    pub(super) upstream: tokio::sync::Mutex<String>,
}

/// All sessions by the ID that the agent uses.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    sessions: HashMap<String, (u64, Arc<Session>)>,
    opened: u64,
}

impl Sessions {
    /// Adds a session that Port opened as `upstream`, and returns its label.
    pub(super) fn open(
        &self,
        id: &HeaderValue,
        upstream: &str,
        initialize: &[u8],
        headers: &HeaderMap,
    ) -> String {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.opened += 1;
        let number = table.opened;
        let label = format!("s{number}");
        let session = Session {
            label: label.clone(),
            // Copies: slices of the request would keep its whole buffer.
            initialize: (initialize.len() <= MAX_INITIALIZE)
                .then(|| Bytes::copy_from_slice(initialize)),
            headers: headers.iter().filter_map(copy).collect(),
            upstream: tokio::sync::Mutex::new(upstream.to_owned()),
        };
        if table.sessions.len() >= MAX_SESSIONS {
            let oldest = table
                .sessions
                .iter()
                .min_by_key(|(_, (number, _))| *number)
                .map(|(id, _)| id.clone());
            if let Some(id) = oldest {
                table.sessions.remove(&id);
            }
        }
        let id = String::from_utf8_lossy(id.as_bytes()).into_owned();
        table.sessions.insert(id, (number, Arc::new(session)));
        label
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Session>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .sessions
            .get(id)
            .map(|(_, session)| Arc::clone(session))
    }

    pub(super) fn close(&self, id: &str) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.sessions.remove(id);
    }
}

fn copy((name, value): (&HeaderName, &HeaderValue)) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    Some((name.clone(), value))
}
