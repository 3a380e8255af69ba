"""Other tools' formats <-> annotation rows."""
