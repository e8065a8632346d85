//! skeleton
/// A resolved series of the head; cheap to clone and to keep.
#[derive(Clone, Debug)]
pub struct SeriesRef(pub(crate) std::sync::Arc<cairn_model::Labels>);
impl SeriesRef {
    /// Its labels.
    pub fn labels(&self) -> &std::sync::Arc<cairn_model::Labels> {
        &self.0
    }
    /// Whether it left the head, so that it must be resolved again.
    pub fn is_dropped(&self) -> bool {
        unimplemented!()
    }
}
