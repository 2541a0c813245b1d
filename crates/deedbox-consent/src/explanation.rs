use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;

use deedbox_model::Name;

use crate::{Bounds, Rank, Reason};

/// How a decision came to what it says of one field: for the person, never for the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The field.
    pub field: Name,
    /// What the decision says: the times of the records that may leave, or why none may.
    pub outcome: Result<Vec<Bounds>, Reason>,
    /// Each permission that chooses the field and names the asker, if only on one of two rosters: its rank, and the sieve it
    /// fell at; `None` if it is left.
    pub permissions: BTreeMap<Name, (Rank, Option<Reason>)>,
    /// Each prohibition that applies, with its rank. One overrules the permissions of its rank and below.
    pub prohibitions: BTreeMap<Name, Rank>,
}

impl Explanation {
    pub(crate) const fn new(field: Name, outcome: Result<Vec<Bounds>, Reason>) -> Self {
        Self { field, outcome, permissions: BTreeMap::new(), prohibitions: BTreeMap::new() }
    }
}

/// One sentence a line: the outcome, then each rule.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rank = |rank: &Rank| rank.name().unwrap_or("unknown");
        match &self.outcome {
            Ok(_) => write!(f, "{} may leave", self.field)?,
            Err(reason) => write!(f, "{} stays: {reason}", self.field)?,
        }
        for (id, (of, fell)) in &self.permissions {
            write!(f, "\npermission {id} (rank {}): ", rank(of))?;
            match fell {
                None => f.write_str("it holds")?,
                Some(reason) => write!(f, "{reason}")?,
            }
        }
        for (id, of) in &self.prohibitions {
            write!(f, "\nprohibition {id} (rank {}): it applies", rank(of))?;
        }
        Ok(())
    }
}
