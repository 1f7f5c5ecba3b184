"""SpecEM: models draft segments, judge each other's, and the winner's is everybody's (docs/specem.md)."""
