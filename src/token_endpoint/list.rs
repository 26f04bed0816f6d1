//! What the calls of one setter add up to.

/// Each call of a setter adds one; the first call replaces what was inherited.
#[derive(Clone, Debug)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    pub(crate) inherited: bool,
}

impl<T> List<T> {
    pub(crate) fn push(&mut self, item: T) {
        if std::mem::take(&mut self.inherited) {
            self.items.clear();
        }
        self.items.push(item);
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), inherited: false }
    }
}
