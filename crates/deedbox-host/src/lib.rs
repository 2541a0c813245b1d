//! What a host embeds: capabilities, commit rules and quotas over Storage; links no code that could open anything
