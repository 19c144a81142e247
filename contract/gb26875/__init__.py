"""GB/T 26875.3-2011 (城市消防远程监控系统 第3部分：报警传输网络通信协议): between a user information transmission
device (用户信息传输装置, here: transmitter) and a monitoring centre. Pure: bytes in, objects out, and back.

    stream.FrameStream   frames out of a byte stream           codec.decode / encode   whole messages
    frame                the 30 bytes around a unit            units, objects          application units
    status, text, time_tag                                     fields of objects
    tables               names of codes, private tables        edition                 version switch
    describe             decoded messages as JSON
"""
