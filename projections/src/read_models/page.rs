//! Bounded lists: every query has a limit, and says where the next page begins.

use std::fmt;
use std::str::FromStr;

/// The longest cursor, in characters. The longest sort key is an instant and an id.
const CURSOR_MAX: usize = 200;

/// Text that is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor: give back the `next` of the page before, or leave it out")]
pub struct InvalidCursor;

/// Where a page begins. Opaque to clients.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor that begins after the document with this sort key.
    pub(crate) fn after(key: &str) -> Cursor {
        Cursor(key.to_owned())
    }

    /// The sort key to begin after.
    pub(crate) fn key(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cursor(…)")
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Cursor, InvalidCursor> {
        if text.is_empty() || text.len() > CURSOR_MAX {
            return Err(InvalidCursor);
        }
        let bytes = hex::decode(text).map_err(|_| InvalidCursor)?;
        let key = String::from_utf8(bytes).map_err(|_| InvalidCursor)?;
        if key.chars().any(char::is_control) {
            return Err(InvalidCursor);
        }
        Ok(Cursor(key))
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    limit: u32,
    after: Option<Cursor>,
}

impl Page {
    /// The most documents in one page.
    pub const LIMIT_MAX: u32 = 200;
    /// The page size if none is given.
    pub const LIMIT_DEFAULT: u32 = 50;

    /// A page of at most `limit` documents (held within 1 to [`Page::LIMIT_MAX`]), after `after`.
    pub fn new(limit: Option<u32>, after: Option<Cursor>) -> Page {
        Page { limit: limit.unwrap_or(Self::LIMIT_DEFAULT).clamp(1, Self::LIMIT_MAX), after }
    }

    /// The most documents.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Where it begins.
    pub fn after(&self) -> Option<&Cursor> {
        self.after.as_ref()
    }

    /// What this page shows of `all`, in the order of their sort keys, and one more if there is more.
    pub(crate) fn of<T>(&self, mut all: Vec<T>, key: impl Fn(&T) -> String) -> Vec<T> {
        if let Some(after) = &self.after {
            all.retain(|item| key(item).as_str() > after.key());
        }
        all.sort_by_cached_key(key);
        all.truncate(self.limit as usize + 1);
        all
    }
}

impl Default for Page {
    fn default() -> Page {
        Page::new(None, None)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// The documents.
    pub items: Vec<T>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

impl<T> Listing<T> {
    /// A page from up to `limit + 1` documents: one more than wanted shows that there is a next page.
    pub(crate) fn from_surplus(mut items: Vec<T>, page: &Page, key: impl Fn(&T) -> String) -> Self {
        let limit = page.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|item| Cursor::after(&key(item))) } else { None };
        Listing { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor::after("2026-01-05T14:00:00.000000Z/018f");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let long = "61".repeat(CURSOR_MAX);
        for text in ["", "xyz", "6", "ff", "00", long.as_str()] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn limits_are_held() {
        assert_eq!(Page::new(Some(0), None).limit(), 1);
        assert_eq!(Page::new(Some(1_000_000), None).limit(), Page::LIMIT_MAX);
        assert_eq!(Page::default().limit(), Page::LIMIT_DEFAULT);
    }

    #[test]
    fn a_page_of_everything_is_sorted_begins_after_the_cursor_and_holds_one_more() {
        let page = |limit, after: Option<&str>| Page::new(Some(limit), after.map(Cursor::after));
        let all = || vec!["d", "b", "a", "c"];
        let key = |text: &&str| (*text).to_owned();
        assert_eq!(page(2, None).of(all(), key), ["a", "b", "c"]);
        assert_eq!(page(2, Some("b")).of(all(), key), ["c", "d"]);
        assert_eq!(page(1, Some("b")).of(all(), key), ["c", "d"]);
        assert_eq!(page(9, Some("d")).of(all(), key), [""; 0]);
    }

    #[test]
    fn a_surplus_document_is_the_next_page() {
        let page = Page::new(Some(2), None);
        let full = Listing::from_surplus(vec![1, 2, 3], &page, i32::to_string);
        assert_eq!((full.items, full.next), (vec![1, 2], Some(Cursor::after("2"))));
        let last = Listing::from_surplus(vec![1, 2], &page, i32::to_string);
        assert_eq!(last.next, None);
    }
}
