//! Room on the stack for tall trees: a chain of a thousand operands is evaluated a thousand calls deep.

use std::io;

use crate::ast::{Expr, ExprKind};
use crate::parser::MAX_DEPTH;

/// For a tree of [`MAX_HEIGHT`](crate::parser::MAX_HEIGHT), at 16 KiB a level and more than twice that. Memory is only taken as
/// far as the calls go.
const STACK_BYTES: usize = 64 << 20;

impl Expr {
    /// Levels of the tree.
    fn height(&self) -> usize {
        let below = match &self.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => 0,
            ExprKind::Subquery(subquery) => subquery.expr.height(),
            ExprKind::Call(call) => call.args.iter().map(Self::height).max().unwrap_or(0),
            ExprKind::Aggregate(aggregate) => {
                let param = aggregate.param.as_ref().map_or(0, |param| param.height());
                param.max(aggregate.expr.height())
            }
            ExprKind::Binary(binary) => binary.lhs.height().max(binary.rhs.height()),
            ExprKind::Unary(unary) => unary.expr.height(),
            ExprKind::Paren(inner) => inner.height(),
        };
        below + 1
    }

    /// Runs `work`, which walks over this tree, where the stack is enough for it: right here, or, for a tree that is taller
    /// than any that people write, on a thread with a larger one. A panic goes on in the caller.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn with_room<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        if self.height() <= MAX_DEPTH {
            return Ok(work());
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("tall-query".to_owned()).stack_size(STACK_BYTES);
            let outcome = thread.spawn_scoped(scope, work)?.join();
            Ok(outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}
