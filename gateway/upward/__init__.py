"""What monitoring centres (监控中心) are told of a station, by GB/T 26875.3, and what they may ask."""
