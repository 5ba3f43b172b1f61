//! The tools that the MCP server offers, by role and page.

use std::num::NonZeroUsize;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rmcp::model::{self, JsonObject, ListToolsResult, ToolAnnotations};

use crate::{Builder, catalog, synthetic};

/// The role of the identity behind the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Role {
    /// Can read and run, but not change the catalog.
    Developer,
    /// Can do everything.
    #[default]
    Builder,
    /// Has no permissions: the server offers no tools.
    None,
}

impl Role {
    /// Port's names of the roles of such an identity.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Developer => &["Developer"],
            Self::Builder => &["Builder"],
            Self::None => &[],
        }
    }

    fn is_offered(self, kind: Kind) -> bool {
        match self {
            Self::Developer => !matches!(kind, Kind::Write),
            Self::Builder => true,
            Self::None => false,
        }
    }
}

/// A tool to offer unchanged, even if it is hostile or incomplete; see [`Builder::offer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    name: String,
    title: Option<String>,
    description: Option<String>,
    read_only: Option<bool>,
    destructive: Option<bool>,
}

impl Tool {
    /// A tool without a title, a description, annotations, or parameters.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            title: None,
            description: None,
            read_only: None,
            destructive: None,
        }
    }

    /// Sets its title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets its description.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets its annotation `readOnlyHint`.
    #[must_use]
    pub fn read_only(mut self, hint: bool) -> Self {
        self.read_only = Some(hint);
        self
    }

    /// Sets its annotation `destructiveHint`.
    #[must_use]
    pub fn destructive(mut self, hint: bool) -> Self {
        self.destructive = Some(hint);
        self
    }
}

/// The effect of a tool on the organization.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Changes nothing.
    Read,
    /// Runs one of the organization's own automations, which can have any effect.
    Execute,
    /// Changes the catalog itself.
    Write,
    /// Unknown: a test added the tool.
    Unknown,
}

/// A tool that the server offers.
pub(crate) struct Offer {
    pub(crate) kind: Kind,
    pub(crate) tool: model::Tool,
}

impl From<Tool> for Offer {
    fn from(given: Tool) -> Self {
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), "object".into());
        let mut tool = model::Tool::new(given.name, "", schema);
        tool.title = given.title;
        tool.description = given.description.map(Into::into);
        if given.read_only.is_some() || given.destructive.is_some() {
            let mut hints = ToolAnnotations::new();
            hints.read_only_hint = given.read_only;
            hints.destructive_hint = given.destructive;
            tool.annotations = Some(hints);
        }
        Self {
            kind: Kind::Unknown,
            tool,
        }
    }
}

/// The responses to `tools/list`. They are divided into pages only once, for catalogs of any size.
#[derive(Debug)]
pub(crate) struct Offers {
    all: Pages,
    read_only: Pages,
    cursor_loop: bool,
}

type Pages = Vec<Vec<model::Tool>>;

impl Offers {
    pub(crate) fn new(settings: &Builder) -> Self {
        let tools = match settings.synthetic_tools {
            Some(count) => synthetic::offers(count),
            None => catalog::offers(),
        };
        let more = settings.more_tools.iter().cloned().map(Offer::from);
        let offers: Vec<_> = tools
            .into_iter()
            .chain(more)
            .filter(|offer| settings.role.is_offered(offer.kind))
            .collect();
        let in_read_only_mode = |offer: &&Offer| match offer.kind {
            Kind::Read | Kind::Unknown => true,
            Kind::Execute => !settings.read_only_hides_runs,
            Kind::Write => false,
        };
        Self {
            all: pages(offers.iter(), settings.page_size),
            read_only: pages(offers.iter().filter(in_read_only_mode), settings.page_size),
            cursor_loop: settings.cursor_loop,
        }
    }

    /// The page at this cursor, or the first page. `None` if the cursor does not exist.
    pub(crate) fn page(&self, read_only: bool, cursor: Option<&str>) -> Option<ListToolsResult> {
        let pages = self.pages(read_only);
        let number = match cursor {
            Some(_) if self.cursor_loop => 0,
            Some(cursor) => page_number(cursor).filter(|number| *number < pages.len())?,
            None => 0,
        };
        let next = number + 1;
        let mut page =
            ListToolsResult::with_all_items(pages.get(number).cloned().unwrap_or_default());
        page.next_cursor = (self.cursor_loop || next < pages.len()).then(|| cursor_to(next));
        Some(page)
    }

    /// Whether a tool of this name is offered.
    pub(crate) fn include(&self, read_only: bool, name: &str) -> bool {
        let mut tools = self.pages(read_only).iter().flatten();
        tools.any(|tool| tool.name == name)
    }

    fn pages(&self, read_only: bool) -> &Pages {
        if read_only {
            &self.read_only
        } else {
            &self.all
        }
    }
}

fn pages<'a>(offers: impl Iterator<Item = &'a Offer>, size: Option<NonZeroUsize>) -> Pages {
    let tools: Vec<_> = offers.map(|offer| offer.tool.clone()).collect();
    match size {
        Some(size) => tools.chunks(size.get()).map(<[_]>::to_vec).collect(),
        None => vec![tools],
    }
}

// Encoded, so that clients cannot use a cursor as a number.
fn cursor_to(page: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("page:{page}"))
}

fn page_number(cursor: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix("page:")?.parse().ok()
}
