//! Permissions, prohibitions, mandates and bases; the evaluator that decides which fields may leave; pure
